//! What lies where, and what is refused.

use std::io::{Cursor, Read};
use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn owner() -> Owner {
    Owner::from(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn on_disk() -> Result<TemporaryFile> {
    Ok(TemporaryFile {
        file: tempfile::tempfile().unwrap(),
        let_in: Box::new(|_| Ok(())),
    })
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

fn read(content: &Content) -> Vec<u8> {
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    content.reader().read_to_end(&mut whole).unwrap();
    let add = |piece: &[u8]| {
        pieces.extend_from_slice(piece);
        Ok(())
    };
    content.for_each_piece(add).unwrap();
    assert!(whole == pieces && *whole == *content.read().unwrap());
    assert_eq!(content.length(), whole.len() as u64);
    whole
}

#[test]
fn what_is_long_goes_to_a_file_and_comes_back_as_it_was() {
    let spools = Spools::new(on_disk);
    for length in [0, 1, IN_MEMORY, IN_MEMORY + 1, 5 * IN_MEMORY + 7] {
        let sent = bytes(length);
        let mut spool = spools.spool(owner());
        spool.fill(&mut Cursor::new(&sent), length as u64).unwrap();
        let content = spool.finish().unwrap();
        let in_file = matches!(content, Content::File { .. });
        assert_eq!(in_file, length > IN_MEMORY, "{length}");
        assert!(read(&content) == sent, "{length}");
    }
}

#[test]
fn what_is_longer_than_allowed_is_not_taken() {
    let spools = Spools::new(on_disk);
    let mut spool = spools.spool(owner());
    let taken = spool.fill(&mut Cursor::new(bytes(101)), 100);
    assert!(matches!(taken, Err(Unfilled::TooLong)), "{taken:?}");
}

#[test]
fn without_room_on_the_disk_it_lies_in_memory_up_to_a_bound() {
    let spools = Spools::new(|| Err(Error::new(Kind::Full, "no room")));
    let sent = bytes(3 * IN_MEMORY);
    let mut spool = spools.spool(owner());
    spool.append(&sent).unwrap();
    let content = spool.finish().unwrap();
    assert!(read(&content) == sent);

    let mut spool = spools.spool(owner());
    let refused = spool.fill(&mut std::io::repeat(1), u64::MAX);
    let Err(Unfilled::Refused(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error}");
}

#[test]
fn who_holds_too_much_is_refused_until_it_is_given_back() {
    let spools = Spools {
        files: Budget::new(10 * IN_MEMORY as u64, 4 * IN_MEMORY as u64),
        open: Box::new(on_disk),
        without_disk: Budget::new(0, 0),
        turns: Budget::new(1, 1),
        worker: OnceLock::new(),
    };
    let spools = Arc::new(spools);
    let spooled = |pieces: usize| {
        let mut spool = spools.spool(owner());
        spool.append(&bytes(pieces * IN_MEMORY + 1))?;
        spool.finish()
    };
    let held = spooled(3).unwrap();
    assert!(spooled(3).is_err());
    assert!(spooled(0).is_ok(), "what is short costs nothing");
    let clone = held.clone();
    drop(held);
    assert!(spooled(3).is_err(), "a clone is still being sent");
    drop(clone);
    assert!(spooled(3).is_ok());
}

#[test]
fn long_documents_are_worked_on_by_one_thread() {
    let spools = Spools::new(on_disk);
    let here = std::thread::current().id();
    let worker = |length| spools.work(owner(), length, || Ok(std::thread::current().id()));
    let length = IN_MEMORY as u64;
    assert_eq!(worker(length).unwrap(), here, "what is short needs no turn");
    let first = worker(length + 1).unwrap();
    assert_ne!(first, here);
    assert_eq!(worker(length + 1).unwrap(), first);
    let failed = spools.work(owner(), length + 1, || {
        Err::<(), _>(Error::internal("broken"))
    });
    assert_eq!(failed.unwrap_err().kind(), Kind::Internal);
}

#[test]
fn a_disk_that_becomes_full_on_the_way_loses_nothing() {
    // A file that takes no byte, as on a full disk, and one that is let in up to what is kept free.
    let full = Spools::new(|| {
        let mut options = File::options();
        Ok(TemporaryFile {
            file: options.read(true).write(true).open("/dev/full").unwrap(),
            let_in: Box::new(|_| Ok(())),
        })
    });
    let almost_full = Spools::new(|| {
        let most = 2 * IN_MEMORY as u64;
        let let_in = move |to| match to {
            to if to > most => Err(Error::new(Kind::Full, "no room")),
            _ => Ok(()),
        };
        Ok(TemporaryFile {
            let_in: Box::new(let_in),
            ..on_disk()?
        })
    });
    let sent = bytes(5 * IN_MEMORY);
    for spools in [full, almost_full] {
        let mut spool = spools.spool(owner());
        spool.append(&sent).unwrap();
        let file = spool.file.as_ref().unwrap();
        assert!(file.let_in.is_none(), "it left the disk");
        assert!(read(&spool.finish().unwrap()) == sent);
    }
}
