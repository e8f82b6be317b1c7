//! What can't be run ends with a clear error and exit 125, before anything starts.
