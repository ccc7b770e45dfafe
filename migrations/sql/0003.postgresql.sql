-- v1.2.0 (2026-03-20): treatments. The event type protocol_check_in and the resource treatment need no change here:
-- those columns are text.

ALTER TABLE subscriptions ADD COLUMN offering_id text;
ALTER TABLE subscriptions ADD COLUMN offering_name text;
ALTER TABLE subscriptions ADD COLUMN clinician_id text;
ALTER TABLE subscriptions ADD COLUMN clinician_name text;
ALTER TABLE subscriptions ADD COLUMN monthly_price_cents text;
ALTER TABLE subscriptions ADD COLUMN notes text;
ALTER TABLE subscriptions ADD COLUMN approved_at timestamp;
ALTER TABLE subscriptions ADD COLUMN started_at timestamp;
ALTER TABLE subscriptions ADD COLUMN completed_at timestamp;
ALTER TABLE subscriptions ADD COLUMN cancelled_at timestamp;
ALTER TABLE subscriptions ADD COLUMN paused_at timestamp;

ALTER TABLE patient_prescriptions ADD COLUMN prescribed_date timestamp;
ALTER TABLE patient_prescriptions ADD COLUMN next_refill_date timestamp;

ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_status_check;
ALTER TABLE subscriptions ADD CONSTRAINT subscriptions_status_check
    CHECK (status IN ('pending', 'approved', 'rejected', 'active', 'paused', 'cancelled', 'completed'));
