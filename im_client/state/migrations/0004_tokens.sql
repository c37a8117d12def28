-- A token may belong to an infrastructure itself (account NULL), and one that is good for an infrastructure goes with it.
-- name: what its owner calls it. Tokens for infrastructures that are gone are good for nothing, and are left behind.
CREATE TABLE token_of_4 (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    account TEXT REFERENCES account (name) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL,
    infrastructure TEXT REFERENCES infrastructure (id) ON DELETE CASCADE,
    created_at REAL NOT NULL,
    expires_at REAL,
    UNIQUE (infrastructure, name),
    CHECK (account IS NOT NULL OR infrastructure IS NOT NULL)
) STRICT;

INSERT INTO token_of_4 (id, name, account, digest, role, infrastructure, created_at, expires_at)
SELECT id, id, account, digest, role, infrastructure, created_at, expires_at FROM access_token
WHERE infrastructure IS NULL OR infrastructure IN (SELECT id FROM infrastructure);

DROP TABLE access_token;
ALTER TABLE token_of_4 RENAME TO access_token;
CREATE INDEX token_of_account ON access_token (account);
