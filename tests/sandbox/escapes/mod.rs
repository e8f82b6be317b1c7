//! Published weaknesses of sandboxes, one test each; the name of a test is its row in the list.
