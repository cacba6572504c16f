import LinuxIO
import OCI
import TreeIndex

/// A tree that can be shown: its index, and the layers that hold the content of its files. A layer's own tree is one,
/// and so is a snapshot, whose nodes say in which layer to look.
public final class ContentTree: Sendable {
    public let index: TreeIndex
    public let view: TreeView
    /// The layers of a snapshot by slot; a layer's own tree has itself alone.
    public let layers: [LayerTree]
    private let isSnapshot: Bool

    /// A layer's own tree.
    public init(layer: LayerTree) {
        index = layer.index
        view = index.view
        layers = [layer]
        isSnapshot = false
    }

    init(snapshot index: TreeIndex, layers: [LayerTree]) {
        self.index = index
        view = index.view
        self.layers = layers
        isSnapshot = true
    }

    /// Where a canonical node's content is.
    @inline(__always)
    public func location(_ ordinal: Ordinal) -> (layer: LayerTree, ordinal: Ordinal) {
        guard isSnapshot else { return (layers[0], ordinal) }
        let node = view.node(ordinal)
        return (layers[Int(node.layerSlot)], node.layerOrdinal)
    }

    /// All content of all layers is in the store.
    public var isComplete: Bool { layers.allSatisfy(\.isComplete) }

    public func read(_ ordinal: Ordinal, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Int? {
        let (layer, ordinal) = location(ordinal)
        return try layer.read(ordinal, at: offset, into: buffer)
    }

    public func fetch(_ ordinal: Ordinal, at offset: UInt64, count: Int) async throws {
        let (layer, ordinal) = location(ordinal)
        try await layer.fetch(ordinal, at: offset, count: count)
    }

    public func openObject(_ ordinal: Ordinal) throws -> OwnedDescriptor? {
        let (layer, ordinal) = location(ordinal)
        return try layer.openObject(ordinal)
    }

    public func hasObject(_ ordinal: Ordinal) -> Bool {
        let (layer, ordinal) = location(ordinal)
        return layer.hasObject(ordinal)
    }

    public func storedSize(_ ordinal: Ordinal) -> UInt64 {
        let (layer, ordinal) = location(ordinal)
        return layer.storedSize(ordinal)
    }
}
