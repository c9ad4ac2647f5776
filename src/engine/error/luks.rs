use core::fmt;

/// The corruption of a LUKS header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LuksFault {
    /// It doesn't begin with the magic number.
    Magic,
    /// The file, or the range that the image records for the header, ends within its fields.
    Truncated {
        /// The number of bytes before that end.
        length: u64,
    },
    /// The recorded length is too large for a LUKS header.
    Area {
        /// The length in bytes, with the key material.
        length: u64,
    },
    /// The name of a cipher, a mode or a hash has no terminating zero.
    Text,
    /// The encrypted data would begin within the header.
    Payload {
        /// The header's payload offset, in sectors of 512 bytes.
        sectors: u32,
    },
    /// The key length is 0, or larger than that of any cipher.
    KeyBytes {
        /// The header's key length, in bytes.
        length: u32,
    },
    /// A number of iterations is 0.
    NoIterations,
    /// A key slot that is neither active nor inactive.
    SlotState {
        /// The recorded state.
        state: u32,
    },
    /// A key slot does not have 4000 stripes.
    Stripes {
        /// The recorded number of stripes.
        stripes: u32,
    },
    /// The key material of a slot overlaps the header's fields, or reaches past the end of the header.
    Material {
        /// The offset of the material, in bytes from the beginning of the header.
        offset: u64,
        /// The length of the material in bytes.
        length: u64,
    },
    /// No key slot is active, so no passphrase opens the image any more.
    NoActiveSlot,
    /// The key materials of two slots overlap.
    Overlap {
        /// The offset of the first material, in bytes from the beginning of the header.
        offset: u64,
        /// The offset of the second material, in bytes from the beginning of the header.
        other: u64,
    },
}

impl fmt::Display for LuksFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("it has no LUKS magic number"),
            Self::Truncated { length } => write!(f, "it ends after {length} bytes"),
            Self::Area { length } => write!(f, "it can't be {length} bytes long"),
            Self::Text => f.write_str("a name in it has no terminating zero"),
            Self::Payload { sectors } => write!(f, "its payload would begin within it, at sector {sectors}"),
            Self::KeyBytes { length } => write!(f, "no cipher has a key of {length} bytes"),
            Self::NoIterations => f.write_str("a number of iterations is 0"),
            Self::SlotState { state } => write!(f, "a key slot has the invalid state {state:#x}"),
            Self::Stripes { stripes } => write!(f, "a key slot has {stripes} stripes instead of 4000"),
            Self::Material { offset, length } => {
                write!(f, "a key slot's material can't be {length} bytes at {offset:#x} in the header")
            }
            Self::NoActiveSlot => f.write_str("no key slot is active, so no passphrase opens the image any more"),
            Self::Overlap { offset, other } => {
                write!(f, "the materials of two key slots overlap, at {offset:#x} and {other:#x} in the header")
            }
        }
    }
}
