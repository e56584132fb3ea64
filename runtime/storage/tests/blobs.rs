//! Blobs: whole or not there. Must never leave a file behind.

use super::*;

fn temp_files(dir: &DataDir) -> usize {
    std::fs::read_dir(dir.path().join("tmp")).unwrap().count()
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

async fn content(blobs: &Blobs, digest: Digest) -> Vec<u8> {
    let (mut file, mut bytes) = (blobs.open_file(digest).await.unwrap(), vec![]);
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_blob_written_in_parts_is_the_blob_written_at_once() {
    let (_temp, dir) = data_dir();
    let blobs = Blobs::open(&dir).unwrap();
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut writer = blobs.writer().await.unwrap();
    for chunk in bytes.chunks(77_777) {
        writer.write(chunk).await.unwrap();
    }
    let (digest, size_bytes) = writer.finish().await.unwrap();
    assert_eq!((digest, size_bytes), (sha256(&bytes), 700_000));
    assert_eq!(blobs.put(bytes.clone()).await.unwrap(), digest);
    assert_eq!(content(&blobs, digest).await, bytes);
    let list = blobs.list().await.unwrap();
    assert_eq!((list.len(), list[0].digest, list[0].size_bytes), (1, digest, 700_000));
    assert!(blobs.path(digest).ends_with(format!("{}/{}", &digest.hex()[..2], digest.hex())));
    assert_eq!(temp_files(&dir), 0);
    assert!(blobs.delete(digest).await.unwrap());
    assert!(!blobs.delete(digest).await.unwrap());
    assert!(matches!(blobs.open_file(digest).await, Err(BlobError::Missing(_))));
}

#[tokio::test]
async fn an_interrupted_writer_leaves_nothing() {
    let (_temp, dir) = data_dir();
    let blobs = Blobs::open(&dir).unwrap();
    let mut writer = blobs.writer().await.unwrap();
    writer.write(&vec![1; 600_000]).await.unwrap();
    assert_eq!(temp_files(&dir), 1);
    drop(writer);
    assert_eq!(temp_files(&dir), 0);
    assert_eq!(blobs.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_write_that_was_not_awaited_makes_the_blob_impossible_to_finish() {
    let (_temp, dir) = data_dir();
    let blobs = Blobs::open(&dir).unwrap();
    let chunk = vec![1; 600_000];
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // A write may be done before it is first looked at, on a machine that does something else meanwhile: try again.
    let writer = loop {
        let mut writer = blobs.writer().await.unwrap();
        if std::pin::pin!(writer.write(&chunk)).poll(&mut context).is_pending() {
            break writer;
        }
    };
    assert!(matches!(writer.finish().await, Err(BlobError::Interrupted)));
    while temp_files(&dir) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(blobs.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_corrupt_blob_is_detected_and_mended_by_putting_it_again() {
    let (_temp, dir) = data_dir();
    let blobs = Blobs::open(&dir).unwrap();
    let digest = blobs.put("hello").await.unwrap();
    std::fs::write(blobs.path(digest), "hullo").unwrap();
    assert!(matches!(blobs.open_file(digest).await, Err(BlobError::Corrupt(_))));
    blobs.put("hello").await.unwrap();
    assert_eq!(content(&blobs, digest).await, b"hello");
}

#[tokio::test]
async fn what_a_dead_process_left_is_swept_at_the_next_start() {
    let (_temp, dir) = data_dir();
    drop(Blobs::open(&dir).unwrap());
    std::fs::write(dir.path().join("tmp/half"), "hel").unwrap();
    std::fs::create_dir_all(dir.path().join("blobs/ab")).unwrap();
    std::fs::write(dir.path().join("blobs/ab/README"), "not a blob").unwrap();
    let blobs = Blobs::open(&dir).unwrap();
    assert_eq!(temp_files(&dir), 0);
    assert_eq!(blobs.list().await.unwrap(), []);
}
