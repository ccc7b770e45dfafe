"""AuditEvents of what is on record: made from the audit trail when they are asked for, and never stored."""
