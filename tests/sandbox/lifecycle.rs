//! C20 to C25: ends, signals, leftovers.
