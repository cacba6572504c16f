import LinuxIO
import OCI

/// An index that has been validated once and is trusted from then on. Everything in it is read through `view`.
public final class TreeIndex: @unchecked Sendable {
    /// The tree itself. Copy it where speed counts, and keep the index alive as long.
    public let view: TreeView
    private let storage: Storage
    let header: IndexHeader

    private enum Storage {
        case mapped(MappedFile)
        case owned(UnsafeMutableRawBufferPointer)
    }

    /// Checks every record of a mapped index file.
    /// - Throws: `.damaged` with the first thing found wrong, `.tooMany` for an index beyond the limits.
    public init(validating file: MappedFile, limits: TreeLimits = TreeLimits()) throws(TreeIndexError) {
        (header, view) = try IndexValidator.validate(file.bytes, limits: limits)
        storage = .mapped(file)
    }

    /// Checks an index in memory, of which it keeps a copy.
    public init(validating bytes: [UInt8], limits: TreeLimits = TreeLimits()) throws(TreeIndexError) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 8)
        copy.copyBytes(from: bytes)
        do {
            (header, view) = try IndexValidator.validate(UnsafeRawBufferPointer(rebasing: copy[..<bytes.count]), limits: limits)
        } catch {
            copy.deallocate()
            throw error
        }
        storage = .owned(copy)
    }

    deinit {
        if case .owned(let bytes) = storage { bytes.deallocate() }
    }
}

extension TreeIndex {
    public var isSnapshot: Bool { header.what == IndexHeader.What.snapshot.rawValue }

    /// What the layer was made from; nil for a snapshot.
    public var identity: LayerIdentity? {
        guard !isSnapshot, let contentKey = header.contentKey.digest, let blobDigest = header.blobDigest.digest,
            let format = LayerFormat(rawValue: header.format)
        else { return nil }
        return LayerIdentity(
            contentKey: contentKey, blobDigest: blobDigest, diffID: header.diffID.digest, format: format, blobSize: header.blobSize)
    }

    /// Size of the index in bytes.
    public var byteCount: Int { Int(header.fileSize) }

    /// The index file itself.
    var bytes: UnsafeRawBufferPointer {
        switch storage {
        case .mapped(let file): file.bytes
        case .owned(let bytes): UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])
        }
    }

    /// Whether a snapshot and these layers, lowest first, belong together: every inode is in the layer that the snapshot
    /// says, with the same kind and size. To be asked before content is read through the layers.
    public func matches(layers: [TreeIndex]) -> Bool {
        guard isSnapshot, view.layerCount == layers.count else { return false }
        if layers.isEmpty { return true }
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            if node.isHardLink { continue }
            let layer = layers[Int(node.layerSlot)].view
            guard layer.contains(node.layerOrdinal) else { return false }
            let source = layer.node(node.layerOrdinal)
            guard source.kind == node.kind, source.size == node.size, !source.isDead else { return false }
        }
        return true
    }
}
