-- What an operator has confirmed that one lot is sent as at a broker; another value stops entries.
CREATE TABLE confirmed_lot_sizes (
    broker        text NOT NULL,
    instrument    text NOT NULL,
    lot_size      integer NOT NULL CHECK (lot_size > 0),
    who           text NOT NULL CHECK (who <> ''),
    confirmed_at  timestamptz NOT NULL,
    PRIMARY KEY (broker, instrument)
);
