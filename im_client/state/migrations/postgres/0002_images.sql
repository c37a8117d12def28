-- What SQLite's 0003 makes.
CREATE TABLE image (
    site TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    infrastructure TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL UNIQUE,
    auto_delete INTEGER NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    restart INTEGER,
    PRIMARY KEY (site, name),
    UNIQUE (account, site, title)
);

CREATE INDEX image_of_infrastructure ON image (infrastructure);
