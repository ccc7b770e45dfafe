-- How a version came to be. Nothing is known of those stored before: a first version counts as created by POST.

ALTER TABLE fhir_resources ADD COLUMN creation SMALLINT DEFAULT '0' NOT NULL;

ALTER TABLE fhir_history ADD COLUMN creation SMALLINT DEFAULT '0' NOT NULL;
