-- What SQLite's 0004 makes.
ALTER TABLE access_token ADD COLUMN name TEXT COLLATE "C";
UPDATE access_token SET name = id;
DELETE FROM access_token t WHERE t.infrastructure IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM infrastructure i WHERE i.id = t.infrastructure);
ALTER TABLE access_token ALTER COLUMN name SET NOT NULL;
ALTER TABLE access_token ALTER COLUMN account DROP NOT NULL;
ALTER TABLE access_token ADD FOREIGN KEY (infrastructure) REFERENCES infrastructure (id) ON DELETE CASCADE;
ALTER TABLE access_token ADD UNIQUE (infrastructure, name);
ALTER TABLE access_token ADD CHECK (account IS NOT NULL OR infrastructure IS NOT NULL);
CREATE INDEX token_of_account ON access_token (account);
