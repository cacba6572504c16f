/// One member of a layer: what a tar header, or an entry of a table of contents, says about a file.
///
/// Names are the archive's own bytes, unchanged and unchecked: `./` and `/` prefixes, `..` components and
/// `.wh.` whiteouts are for `TreeIndex` to judge.
public struct ArchiveEntry: Sendable, Equatable {
    public enum Kind: UInt8, Sendable {
        case directory, regular, symlink, hardlink, characterDevice, blockDevice, fifo
    }

    public var path: [UInt8]
    public var kind: Kind
    /// Permission bits with set-uid, set-gid and sticky: 0 to 0o7777.
    public var mode: UInt32
    public var uid: UInt32
    public var gid: UInt32
    /// Logical size in bytes of a regular file, holes included; 0 for every other kind.
    public var size: UInt64
    public var modified: Timestamp
    /// Target of a symlink, or path of the earlier member that a hard link names.
    public var linkTarget: [UInt8]
    public var deviceMajor: UInt32
    public var deviceMinor: UInt32
    public var attributes: [ExtendedAttribute]
    /// Data runs of a sparse file in ascending order, holes between them; nil where the file is dense.
    public var extents: [Extent]?

    public init(
        path: [UInt8], kind: Kind, mode: UInt32 = 0o644, uid: UInt32 = 0, gid: UInt32 = 0, size: UInt64 = 0,
        modified: Timestamp = .init(), linkTarget: [UInt8] = [], deviceMajor: UInt32 = 0, deviceMinor: UInt32 = 0,
        attributes: [ExtendedAttribute] = [], extents: [Extent]? = nil
    ) {
        self.path = path
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.modified = modified
        self.linkTarget = linkTarget
        self.deviceMajor = deviceMajor
        self.deviceMinor = deviceMinor
        self.attributes = attributes
        self.extents = extents
    }

    /// Bytes of content that the archive carries: the size, or the sum of the data runs of a sparse file.
    public var storedSize: UInt64 {
        extents?.reduce(0) { $0 &+ $1.length } ?? size
    }
}

/// Seconds and nanoseconds since the epoch; nanoseconds are 0 to 999,999,999 also before 1970.
public struct Timestamp: Sendable, Hashable {
    public var seconds: Int64
    public var nanoseconds: UInt32

    public init(seconds: Int64 = 0, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
}

/// An extended attribute, both halves as bytes.
public struct ExtendedAttribute: Sendable, Hashable {
    public var name: [UInt8]
    public var value: [UInt8]

    public init(name: [UInt8], value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// A run of data in a sparse file: `length` bytes at logical `offset`.
public struct Extent: Sendable, Hashable {
    public var offset: UInt64
    public var length: UInt64

    public init(offset: UInt64, length: UInt64) {
        self.offset = offset
        self.length = length
    }
}
