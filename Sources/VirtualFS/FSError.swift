/// Why an operation failed, in the filesystem's own terms. `FuseBridge` alone turns it into an errno.
public enum FSError: Error, Sendable, Hashable {
    case notFound
    case notDirectory
    case isDirectory
    /// Larder's image trees cannot be changed.
    case readOnly
    /// Content could not be had: network, digest, or disk. The reason is in the log, with the blob.
    case io
    /// The set time for a fetch is over; shown as EIO, like `io`, and logged as what it is.
    case timedOut
    /// A signal ended the wait.
    case interrupted
    /// A node id of another time that no longer means anything.
    case stale
    case invalid
    case nameTooLong
    case noAttribute
    case range
    case unsupported
    case permission
    case noSpace
    /// What the disk below a live tree answered, as an errno.
    case system(Int32)
}
