//! G cases: git inside.
