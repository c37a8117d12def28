-- As SQLite's 0005.
ALTER TABLE infrastructure ADD COLUMN expires_at DOUBLE PRECISION;
ALTER TABLE infrastructure ADD COLUMN budget TEXT;
