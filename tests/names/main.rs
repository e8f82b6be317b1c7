//! Names that the host would run or trust, and that aren't there: none comes to be inside, whoever tries and however, and
//! all other names are made as outside.
#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod fidelity;
#[cfg(test)]
mod opened;
#[cfg(test)]
mod rules;
