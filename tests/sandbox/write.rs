//! W cases: where writing reaches.
