//! Deltas made and unpacked, and such as nobody of good will makes.

use super::*;

fn delta(old: &[u8], new: &[u8]) -> (Vec<Segment>, Vec<u8>) {
    let parts = Parts::new(old.len() as u64);
    let (segment, packed) = pack(&parts.of(new), &old, new).unwrap();
    (vec![segment], packed)
}

fn unpack(segments: &[Segment], old: &[u8], packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut made = Vec::new();
    let mut unpacking = Unpacking::new(segments, &old, &packed, 0);
    unpacking.read_to_end(&mut made).map(|_| made)
}

fn content(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_is_packed_is_unpacked_and_what_is_old_takes_no_room() {
    let old = content(1, 700_000);
    let new = [&old[300_000..], b"something new", &old[..200_000]].concat();
    let (segments, packed) = delta(&old, &new);
    assert!(packed.len() < 1000, "{}", packed.len());
    assert_eq!(unpack(&segments, &old, &packed).unwrap(), new);
    for (old, new) in [(&b""[..], &b"all new"[..]), (b"old", b"x")] {
        let (segments, packed) = delta(old, new);
        assert_eq!(unpack(&segments, old, &packed).unwrap(), new);
    }
}

#[test]
fn segments_come_one_behind_the_other_each_from_its_own_parts_of_what_is_old() {
    let old = content(1, 300_000);
    let part = |at: u64, length: u64| Part { at, length };
    let of = |part: &Part| &old[part.at as usize..(part.at + part.length) as usize];
    let (mut segments, mut packed, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for parts in [
        vec![part(200_000, 60_000)],
        // Not in the order in which they lie there.
        vec![part(250_000, 50_000), part(10_000, 30_000)],
        vec![],
        vec![part(0, 20_000), part(90_000, 1)],
    ] {
        let mut plain: Vec<u8> = parts.iter().flat_map(of).copied().collect();
        plain.extend(content(plain.len() as u32, 500));
        let (segment, more) = pack(&parts, &old.as_slice(), &plain).unwrap();
        segments.push(segment);
        packed.extend(more);
        new.extend(plain);
    }
    assert!(packed.len() < 4 * 700, "{}", packed.len());
    assert_eq!(unpack(&segments, &old, &packed).unwrap(), new);
    // In another order nothing fits.
    segments.swap(0, 1);
    assert_ne!(unpack(&segments, &old, &packed).ok(), Some(new));
}

#[test]
fn what_was_changed_never_makes_more_than_it_says_and_never_panics() {
    let old = content(1, 50_000);
    let new = [&old[20_000..], &content(2, 3000), &old[..20_000]].concat();
    let (segments, packed) = delta(&old, &new);
    for at in 0..packed.len() {
        for bit in [1, 0x80] {
            let mut damaged = packed.clone();
            damaged[at] ^= bit;
            if let Ok(made) = unpack(&segments, &old, &damaged) {
                assert_eq!(made.len(), new.len());
            }
        }
    }
    for length in [0, 1, packed.len() - 1] {
        assert!(unpack(&segments, &old, &packed[..length]).is_err());
    }
    let other = content(3, 50_000);
    assert_ne!(unpack(&segments, &other, &packed).ok(), Some(new));
    assert!(unpack(&segments, &old[1..], &packed).is_err());
}

#[test]
fn what_a_delta_says_of_itself_is_checked() {
    let part = |at, length| Part { at, length };
    let segment = |prefix: &[Part], plain_size, packed_size| Segment {
        prefix: prefix.to_vec(),
        plain_size,
        packed_size,
    };
    let fine = segment(&[part(0, 10)], 100, 50);
    check(std::slice::from_ref(&fine), 60, 100, 10, 50).unwrap();
    let whole = segment(&[], SEGMENT, 9);
    check(
        &[whole.clone(), segment(&[], 5, 9)],
        SEGMENT,
        SEGMENT + 5,
        0,
        18,
    )
    .unwrap();
    for (segments, size, plain_size, expected) in [
        (vec![fine.clone()], 60, 60 * 1032 + 1, "larger than can be"),
        (vec![fine.clone()], 60, 99, "not as long"),
        (vec![fine.clone()], 60, 101, "not as long"),
        (vec![], 60, 100, "makes less or more"),
        (
            vec![fine.clone(), segment(&[], 0, 0)],
            60,
            100,
            "not as long",
        ),
        (
            vec![segment(&[], 1, 1), segment(&[], 99, 49)],
            60,
            100,
            "not as long",
        ),
        (
            vec![segment(&[part(1, 10)], 100, 50)],
            60,
            100,
            "is not there",
        ),
        (
            vec![segment(&[part(u64::MAX, 10)], 100, 50)],
            60,
            100,
            "is not there",
        ),
        (
            vec![segment(&[part(0, 10)], 100, 51)],
            60,
            100,
            "longer or shorter",
        ),
        (vec![segment(&[], 100, 5000)], 60, 100, "packed into more"),
    ] {
        let refused = check(&segments, size, plain_size, 10, 50).unwrap_err();
        assert!(
            refused.to_string().contains(expected),
            "{expected}: {refused}"
        );
    }
    let many = segment(&[part(0, PREFIX), part(0, 1)], 100, 50);
    let refused = check(&[many], 60, 100, PREFIX, 50).unwrap_err();
    assert!(refused.to_string().contains("too long"), "{refused}");
}
