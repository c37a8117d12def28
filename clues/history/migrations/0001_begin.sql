-- One row an order. `body` is the whole ActionRecord; the columns are what is asked for.
CREATE TABLE action (
    token TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    pool TEXT NOT NULL,
    machine TEXT NOT NULL,
    node TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at REAL NOT NULL,
    ended_at REAL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX open_action ON action (created_at) WHERE ended_at IS NULL;
CREATE INDEX ended_action ON action (ended_at) WHERE ended_at IS NOT NULL;

-- Every phase that an action came into, for people.
CREATE TABLE step (
    number INTEGER PRIMARY KEY,
    token TEXT NOT NULL REFERENCES action (token) ON DELETE CASCADE,
    at REAL NOT NULL,
    phase TEXT NOT NULL,
    error TEXT NOT NULL
) STRICT;

CREATE INDEX step_of_action ON step (token, number);

CREATE TABLE machine (
    pool TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (pool, name)
) STRICT, WITHOUT ROWID;

-- One row each: `memory` (clues.decision.Memory), `paused` (reason), `pools` (what reports need of the settings).
CREATE TABLE kept (
    name TEXT PRIMARY KEY,
    at REAL NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- decision: power_on, remove, replace, cancel, pods and notes; without the verdicts on nodes and the memory.
CREATE TABLE decision (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    pass_ms REAL NOT NULL,
    pending INTEGER NOT NULL,
    recording TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX decision_at ON decision (at);

CREATE TABLE node_change (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    pool TEXT NOT NULL,
    machine TEXT NOT NULL,
    state TEXT NOT NULL,
    busy REAL NOT NULL
) STRICT;

CREATE INDEX node_change_at ON node_change (at);
CREATE INDEX node_change_of ON node_change (name, at);

CREATE TABLE pod_wait (
    number INTEGER PRIMARY KEY,
    ended_at REAL NOT NULL,
    since REAL NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    node TEXT NOT NULL
) STRICT;

CREATE INDEX pod_wait_at ON pod_wait (ended_at);

-- What happened besides: start, stop, reload (with the pools' prices and watts), leadership, hooks, set-aside objects.
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX event_at ON event (at);
