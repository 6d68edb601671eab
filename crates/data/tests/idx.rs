//! IDX: what is written is read again, and nothing that a file can hold makes the reader panic.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use qbnn_data::DataError;
use qbnn_data::idx::{Idx, Storage, Values};
use std::path::Path;

fn any_idx() -> impl Strategy<Value = Idx> {
    prop::collection::vec(0usize..5, 1..5).prop_flat_map(|dims| {
        let n: usize = dims.iter().product();
        let bytes = prop::collection::vec(any::<u8>(), n).prop_map(Values::U8);
        let floats = prop::collection::vec(-1e30f32..1e30, n).prop_map(Values::F32);
        prop_oneof![bytes, floats].prop_map(move |values| Idx::new(dims.clone(), values).unwrap())
    })
}

fn bytes_of(idx: &Idx, storage: Storage) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    idx.write(&path, storage).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary name is gone");
    std::fs::read(&path).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Idx, DataError> {
    Idx::from_bytes(bytes, Path::new("some/file"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(idx in any_idx(), gzip: bool) {
        let storage = if gzip { Storage::Gzip } else { Storage::Plain };
        prop_assert_eq!(parse(&bytes_of(&idx, storage)).unwrap(), idx);
    }

    #[test]
    fn truncated_anywhere_is_an_error(idx in any_idx(), gzip: bool, cut in any::<prop::sample::Index>()) {
        let storage = if gzip { Storage::Gzip } else { Storage::Plain };
        let bytes = bytes_of(&idx, storage);
        let message = parse(&bytes[..cut.index(bytes.len())]).unwrap_err().to_string();
        prop_assert!(message.contains("some/file") && !message.contains('\n'), "{}", message);
    }

    #[test]
    fn noise_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), start in 0..3) {
        let magic: &[u8] = match start { 0 => &[0, 0, 8, 2], 1 => &[0x1f, 0x8b, 8, 0], _ => &[0, 0, 13, 200] };
        bytes.splice(0..0, magic.iter().copied());
        let _ = parse(&bytes);
    }
}

#[test]
fn each_fault_has_its_own_error() {
    assert!(matches!(parse(b""), Err(DataError::NotIdx { .. })));
    assert!(matches!(parse(b"\x89PNG"), Err(DataError::NotIdx { .. })));
    assert!(matches!(parse(&[0, 0, 8, 0]), Err(DataError::NotIdx { .. })));
    assert!(matches!(parse(&[0, 0, 9, 1, 0, 0, 0, 0]), Err(DataError::IdxType { found: 9, .. })));
    assert!(matches!(parse(&[0, 0, 8, 1, 0, 0]), Err(DataError::Truncated { .. })));
    assert!(matches!(parse(&[0, 0, 8, 1, 0, 0, 0, 2, 5]), Err(DataError::Truncated { found: 9, wanted: 10, .. })));
    assert!(matches!(parse(&[0, 0, 8, 1, 0, 0, 0, 1, 5, 5]), Err(DataError::Trailing { wanted: 9, .. })));
    let mut huge = vec![0, 0, 13, 3];
    huge.extend([0xff; 12]);
    assert!(matches!(parse(&huge), Err(DataError::TooLarge { .. })));
    // Announces all that is read, and one more, and holds nothing: refused without reserving it all.
    assert!(matches!(parse(&[0, 0, 8, 1, 0x28, 0, 0, 0]), Err(DataError::Truncated { .. })));
    assert!(matches!(parse(&[0, 0, 8, 1, 0x28, 0, 0, 1]), Err(DataError::TooLarge { .. })));
    let mut corrupt = bytes_of(&Idx::new(vec![9], Values::U8(vec![7; 9])).unwrap(), Storage::Gzip);
    let sum = corrupt.len() - 8;
    corrupt[sum] ^= 1;
    assert!(matches!(parse(&corrupt), Err(DataError::Gzip { .. })));
}

#[test]
fn wrong_kind_and_rank_are_named() {
    let path = Path::new("f");
    let idx = Idx::new(vec![2, 1], Values::U8(vec![1, 2])).unwrap();
    assert!(matches!(idx.clone().into_f32(2, path), Err(DataError::IdxKind { .. })));
    assert!(matches!(idx.clone().into_u8(1, path), Err(DataError::IdxRank { found: 2, wanted: 1, .. })));
    assert_eq!(idx.into_u8(2, path).unwrap(), (vec![2, 1], vec![1, 2]));
    assert!(matches!(Idx::new(vec![], Values::U8(vec![1])), Err(DataError::Shape { .. })));
    assert!(matches!(Idx::new(vec![usize::MAX, 2], Values::U8(vec![])), Err(DataError::Shape { .. })));
}

#[test]
fn a_missing_file_or_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent").join("file");
    assert!(Idx::read(&path).unwrap_err().to_string().contains("absent"));
    let idx = Idx::new(vec![1], Values::U8(vec![1])).unwrap();
    assert!(idx.write(&path, Storage::Plain).unwrap_err().to_string().contains("absent"));
}
