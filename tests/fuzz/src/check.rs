//! Comparing an open image with the model.

use qcow2_web::{Extent, Image, LocationKind, Step, Storage};

use crate::limits::ready;
use crate::model::{self, Found, Kind, Layer};

/// A map is followed for so many steps; on a large disk it may have many more.
const MAP_STEPS: usize = 24;

/// A read must give what the model says, or fail where the model says so.
pub(crate) fn check_read<S: Storage>(image: &Image<S>, layers: &[Layer], offset: u64, length: usize) {
    let expected = model::read(layers, offset, length);
    let mut buf = vec![0xaa; length];
    let result = ready(image.read_at(offset, &mut buf));
    match (&result, expected) {
        (Ok(()), Some(expected)) => assert!(buf == expected, "{length} bytes at {offset} are not what they should be"),
        (Err(error), None) => check_error(error),
        (Ok(()), None) => panic!("a read of {length} bytes at {offset} has to fail"),
        (Err(error), Some(_)) => panic!("a read of {length} bytes at {offset} fails: {error}"),
    }
}

/// The first extents from `offset` on must follow each other, be as long as can be, and be what the model says.
pub(crate) fn check_map<S: Storage>(image: &Image<S>, layers: &[Layer], offset: u64, length: u64) {
    let mut map = image.map(offset, length).expect("the range is within the disk");
    let mut last: Option<Extent> = None;
    let mut position = offset;
    for _ in 0..MAP_STEPS {
        match ready(map.step()) {
            Ok(Step::Extent(extent)) => {
                let expected_start = last.map_or(offset, |last| last.start + last.length);
                assert_eq!(extent.start, expected_start, "the extents don't follow each other");
                assert!(extent.length > 0 && extent.start + extent.length <= offset + length, "{extent:?}");
                assert!(!last.is_some_and(|last| are_one(&last, &extent)), "{last:?} and {extent:?} are one");
                check_extent(&extent, layers);
                last = Some(extent);
            }
            Ok(Step::Working { position: reached }) => {
                assert!(reached > position || reached == offset + length, "a step goes nowhere");
                position = reached;
            }
            Ok(Step::Done) => {
                let end = last.map_or(offset, |last| last.start + last.length);
                assert_eq!(end, offset + length, "the extents don't cover what they should");
                return;
            }
            Err(error) => {
                check_error(&error);
                // All that is before the damage has been told.
                let reached = last.map_or(offset, |last| last.start + last.length);
                assert_eq!(model::find(layers, reached).kind, Kind::Bad, "the map ends at {reached}: {error}");
                let again = ready(map.step()).expect_err("an error doesn't move the map");
                assert_eq!((error.code(), error.offset()), (again.code(), again.offset()));
                return;
            }
        }
    }
}

fn are_one(a: &Extent, b: &Extent) -> bool {
    let kind = |extent: &Extent| (extent.depth, extent.present, extent.zero, extent.data, extent.compressed);
    let places = match (a.offset, b.offset) {
        (None, None) => true,
        (Some(place), Some(next)) => place.checked_add(a.length) == Some(next),
        _ => false,
    };
    kind(a) == kind(b) && places
}

fn check_extent(extent: &Extent, layers: &[Layer]) {
    for within in [0, extent.length / 2, extent.length - 1] {
        let Found { depth, kind, .. } = model::find(layers, extent.start + within);
        let place = extent.offset.map(|place| place + within);
        let (present, zero, compressed) = match kind {
            Kind::Bad => panic!("{extent:?} has a byte that nothing is known of"),
            Kind::Unallocated => (false, true, false),
            Kind::Zero => (true, true, false),
            Kind::Data(expected) => {
                assert_eq!(place, Some(expected), "{extent:?}, {within} bytes in");
                (true, false, false)
            }
            Kind::Compressed { .. } => {
                assert_eq!(place, None, "{extent:?}");
                (true, false, true)
            }
        };
        let expected = (depth as u32, present, zero, !zero, compressed);
        let found = (extent.depth, extent.present, extent.zero, extent.data, extent.compressed);
        assert_eq!(found, expected, "{extent:?}, {within} bytes in");
    }
}

/// The walk must come to what the model says of the top layer.
pub(crate) fn check_location<S: Storage>(image: &Image<S>, layers: &[Layer], offset: u64) {
    let Layer::Qcow2(disk) = &layers[0] else { unreachable!("the first layer is the image") };
    let expected = disk.at(offset);
    let location = match ready(image.locate(offset)) {
        Ok(location) => location,
        Err(error) => {
            check_error(&error);
            return assert_eq!(expected, Kind::Bad, "{error}");
        }
    };
    let kind = match location.kind {
        LocationKind::Unallocated => Kind::Unallocated,
        LocationKind::Zero => Kind::Zero,
        LocationKind::Data => Kind::Data(location.host_offset.expect("data is somewhere")),
        LocationKind::Compressed => Kind::Compressed {
            start: location.host_offset.expect("a stream is somewhere"),
            length: location.compressed_length.expect("a stream has a length"),
        },
    };
    assert_eq!(kind, expected, "{location:?}");
}

/// Memory never fails, the engine asks for nothing past the end, and what it says makes sense.
pub(crate) fn check_error<E: std::error::Error>(error: &qcow2_web::Error<E>) {
    assert_ne!(error.code(), "STORAGE", "{error}");
    assert!(!error.to_string().is_empty());
}
