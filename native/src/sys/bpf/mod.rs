//! `bpf(2)`: pins, ids, descriptions of maps and programs.
//!
//! The attribute structs have the fields of `union bpf_attr` (`include/uapi/linux/bpf.h`) up to the last one used; the
//! kernel takes the rest as zero. <https://man7.org/linux/man-pages/man2/bpf.2.html>

mod call;
mod id;
mod info;
mod map;
mod pin;

pub use call::{COMMANDS, PROG_LOAD};
pub use id::{map_by_id, map_ids, program_by_id, program_ids};
pub use info::{MapInfo, NAME_LEN, ObjectKind, ProgramInfo, map_info, map_memory, object_kind, program_info};
pub use map::{MapDefinition, create_map, create_map_of_maps, lookup_first};
pub use pin::{open_pin, open_pin_writable, pin};
