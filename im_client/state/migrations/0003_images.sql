-- Golden images that callers of a server have made, and whose they are. Those that `im image save` makes are not here.
-- No reference to `infrastructure`: an image may outlive it. The operation is the one that makes the image.
-- restart: whether the machine ran before it was saved; NULL until the operation has looked.
CREATE TABLE image (
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    account TEXT NOT NULL,
    title TEXT NOT NULL,
    infrastructure TEXT NOT NULL,
    node TEXT NOT NULL,
    operation TEXT NOT NULL UNIQUE,
    auto_delete INTEGER NOT NULL,
    created_at REAL NOT NULL,
    restart INTEGER,
    PRIMARY KEY (site, name),
    UNIQUE (account, site, title)
) STRICT;

CREATE INDEX image_of_infrastructure ON image (infrastructure);
