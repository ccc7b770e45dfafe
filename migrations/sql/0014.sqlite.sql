-- Histories of a type, and of all types one by one, begin at an instant. Rows of one transaction have one instant and,
-- of one type, one entry of the index: PostgreSQL stores its key once.

CREATE INDEX fhir_resources_updated_idx ON fhir_resources (organization_id, resource_type, last_updated);

CREATE INDEX fhir_history_updated_idx ON fhir_history (organization_id, resource_type, last_updated);
