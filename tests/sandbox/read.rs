//! R cases: what can't be read.
