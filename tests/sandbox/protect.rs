//! M cases: what the host runs later.
