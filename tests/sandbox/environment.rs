//! What goes inside of the environment.
