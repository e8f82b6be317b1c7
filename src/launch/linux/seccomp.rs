//! stub until merge
use crate::launch::protocol::StageError;
use std::os::fd::OwnedFd;
pub(super) fn apply(_nested: bool, _io: bool, _observe: bool) -> Result<Option<OwnedFd>, StageError> {
    Ok(None)
}
