import Archive

/// One node of a tree, exactly as it lies in the index (offsets in `IndexFormat`). A trivial value: 96 bytes.
///
/// A hard link is a name only: everything but `parent`, the name and `kind` is on the node that
/// `TreeView.canonical(_:)` gives.
public struct TreeNode: Sendable, Equatable {
    /// The directory that lists this node; the root is its own parent.
    public internal(set) var parent: Ordinal
    /// Directory: first position in the children section. Hard link: canonical ordinal. Sparse file: first data run.
    @usableFromInline var first: UInt32 = 0
    /// Directory: number of children. Sparse file: number of data runs.
    @usableFromInline var count: UInt32 = 0
    @usableFromInline var nameOffset: UInt32 = 0
    @usableFromInline var nameLength: UInt16 = 0
    @usableFromInline var kindByte: UInt8
    public internal(set) var flags: NodeFlags = []
    /// Permission bits with set-uid, set-gid and sticky: 0 to 0o7777.
    public internal(set) var mode: UInt32 = 0
    public internal(set) var uid: UInt32 = 0
    public internal(set) var gid: UInt32 = 0
    /// Logical size in bytes; of a symlink the length of its target.
    public internal(set) var size: UInt64 = 0
    public internal(set) var modifiedSeconds: Int64 = 0
    public internal(set) var modifiedNanoseconds: UInt32 = 0
    /// Names of this inode in the tree; of a directory 2 plus its subdirectories.
    public internal(set) var linkCount: UInt32 = 0
    public internal(set) var deviceMajor: UInt32 = 0
    public internal(set) var deviceMinor: UInt32 = 0
    /// Regular file: offset in the content space. Symlink, dangling link: offset of the target in the heap.
    @usableFromInline var place: UInt64 = 0
    @usableFromInline var attributesOffset: UInt32 = 0
    @usableFromInline var attributesLength: UInt32 = 0
    /// In a snapshot: position in the layer table of the layer that the inode comes from.
    public internal(set) var layerSlot: UInt16 = 0
    var reserved: UInt16 = 0
    /// In a snapshot: ordinal of the inode in that layer.
    public internal(set) var layerOrdinal: Ordinal = 0
    @usableFromInline var objectPlusOne: UInt32 = 0
    var reservedToo: UInt32 = 0

    init(parent: Ordinal, kind: NodeKind) {
        self.parent = parent
        kindByte = kind.rawValue
    }
}

extension TreeNode {
    @inlinable public var kind: NodeKind { NodeKind(rawValue: kindByte) ?? .regular }
    @inlinable public var isDirectory: Bool { kindByte == NodeKind.directory.rawValue }
    @inlinable public var isHardLink: Bool { kindByte == NodeKind.hardLink.rawValue }
    /// Replaced by a later member of the same layer: reachable by an old node id only.
    @inlinable public var isDead: Bool { flags.contains(.dead) }
    /// Entries of a directory; 0 for every other kind.
    @inlinable public var childCount: Int { isDirectory ? Int(count) : 0 }
    /// Where the stored bytes of a regular file begin in the content space of its layer; nil for an empty file and for
    /// one that is an object alone.
    @inlinable public var contentOffset: UInt64? { kind == .regular && place != .max ? place : nil }
    /// Number in the object table of a large file.
    @inlinable public var objectNumber: Int? { objectPlusOne == 0 ? nil : Int(objectPlusOne) - 1 }
    public var modified: Timestamp { Timestamp(seconds: modifiedSeconds, nanoseconds: modifiedNanoseconds) }
}

public enum NodeKind: UInt8, Sendable, CaseIterable {
    // The first seven have the raw values of `ArchiveEntry.Kind`.
    case directory, regular, symlink, hardLink, characterDevice, blockDevice, fifo
    /// The layer deletes this name from the layers below. Never in a snapshot.
    case whiteout
    /// A hard link whose target is not in this layer: it may be in a lower one. Never in a snapshot.
    case danglingLink

    init(_ kind: ArchiveEntry.Kind) {
        switch kind {
        case .directory: self = .directory
        case .regular: self = .regular
        case .symlink: self = .symlink
        case .hardlink: self = .hardLink
        case .characterDevice: self = .characterDevice
        case .blockDevice: self = .blockDevice
        case .fifo: self = .fifo
        }
    }

    /// Whether a node of this kind is an inode that hard links may share.
    var isLinkable: Bool {
        switch self {
        case .regular, .symlink, .characterDevice, .blockDevice, .fifo: true
        case .directory, .hardLink, .whiteout, .danglingLink: false
        }
    }

    /// The type bits of `st_mode`. A whiteout is overlayfs's character device 0:0; a dangling link passes for an empty file.
    @inlinable public var typeBits: UInt32 {
        switch self {
        case .directory: 0o040000
        case .regular, .hardLink, .danglingLink: 0o100000
        case .symlink: 0o120000
        case .characterDevice, .whiteout: 0o020000
        case .blockDevice: 0o060000
        case .fifo: 0o010000
        }
    }
}

public struct NodeFlags: OptionSet, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The directory hides what lower layers have in it.
    @inlinable public static var opaque: NodeFlags { NodeFlags(rawValue: 1) }
    /// A directory that no member describes, made because something lies in it: 0755 root, mtime 0, unless a lower
    /// layer says what it is like.
    @inlinable public static var implicit: NodeFlags { NodeFlags(rawValue: 2) }
    /// The file has holes: its stored bytes are its data runs.
    @inlinable public static var sparse: NodeFlags { NodeFlags(rawValue: 4) }
    /// The file is an object, or has spans of its own.
    @inlinable public static var large: NodeFlags { NodeFlags(rawValue: 8) }
    @inlinable public static var dead: NodeFlags { NodeFlags(rawValue: 16) }

    static var all: NodeFlags { [.opaque, .implicit, .sparse, .large, .dead] }
}
