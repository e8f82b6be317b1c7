//! T cases: terminals.
