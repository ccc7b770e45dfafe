-- v1.2.0 (2026-03-20): treatments. The event type protocol_check_in and the resource treatment need no change here:
-- those columns are text.

-- SQLite changes a CHECK only by making the table anew.
CREATE TABLE subscriptions_new (
    id text DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))) PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer_profiles (id),
    product_id text NOT NULL,
    product_name text NOT NULL,
    bigcommerce_product_id text,
    recharge_subscription_id text,
    rimo_treatment_id text,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT subscriptions_status_check CHECK (status IN ('pending', 'approved', 'rejected', 'active', 'paused', 'cancelled', 'completed')),
    "interval" text NOT NULL DEFAULT 'monthly'
        CHECK ("interval" IN ('weekly', 'monthly', 'quarterly', 'biannual', 'annual')),
    interval_count text NOT NULL DEFAULT '30',
    discount_percentage text NOT NULL DEFAULT '10',
    next_order_date text,
    last_order_date text,
    converted_from_reorders text NOT NULL DEFAULT '0',
    metadata text NOT NULL DEFAULT '{}',
    created_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL,
    updated_at text DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z') NOT NULL
);
INSERT INTO subscriptions_new (
    id,
    customer_id,
    product_id,
    product_name,
    bigcommerce_product_id,
    recharge_subscription_id,
    rimo_treatment_id,
    status,
    "interval",
    interval_count,
    discount_percentage,
    next_order_date,
    last_order_date,
    converted_from_reorders,
    metadata,
    created_at,
    updated_at
)
SELECT
    id,
    customer_id,
    product_id,
    product_name,
    bigcommerce_product_id,
    recharge_subscription_id,
    rimo_treatment_id,
    status,
    "interval",
    interval_count,
    discount_percentage,
    next_order_date,
    last_order_date,
    converted_from_reorders,
    metadata,
    created_at,
    updated_at
FROM subscriptions;
DROP TABLE subscriptions;
ALTER TABLE subscriptions_new RENAME TO subscriptions;
CREATE INDEX subscriptions_customer_id_idx ON subscriptions (customer_id);
CREATE INDEX subscriptions_status_idx ON subscriptions (status);
CREATE INDEX subscriptions_product_id_idx ON subscriptions (product_id);
CREATE INDEX subscriptions_recharge_subscription_id_idx ON subscriptions (recharge_subscription_id);

ALTER TABLE subscriptions ADD COLUMN offering_id text;
ALTER TABLE subscriptions ADD COLUMN offering_name text;
ALTER TABLE subscriptions ADD COLUMN clinician_id text;
ALTER TABLE subscriptions ADD COLUMN clinician_name text;
ALTER TABLE subscriptions ADD COLUMN monthly_price_cents text;
ALTER TABLE subscriptions ADD COLUMN notes text;
ALTER TABLE subscriptions ADD COLUMN approved_at text;
ALTER TABLE subscriptions ADD COLUMN started_at text;
ALTER TABLE subscriptions ADD COLUMN completed_at text;
ALTER TABLE subscriptions ADD COLUMN cancelled_at text;
ALTER TABLE subscriptions ADD COLUMN paused_at text;

ALTER TABLE patient_prescriptions ADD COLUMN prescribed_date text;
ALTER TABLE patient_prescriptions ADD COLUMN next_refill_date text;
