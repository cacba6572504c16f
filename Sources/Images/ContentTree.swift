import LinuxIO
import OCI
import Synchronization
import TreeIndex

/// A tree that can be shown: its index, and the layers that hold the content of its files. A layer's own tree is one,
/// and so is a snapshot, whose nodes say in which layer to look.
public final class ContentTree: Sendable {
    public let index: TreeIndex
    public let view: TreeView
    /// The layers of a snapshot by slot; a layer's own tree has itself alone.
    public let layers: [LayerTree]
    private let isSnapshot: Bool
    /// Every recorder that ever listened: a reader may still be at one that was taken off.
    private let recorders = Mutex<[AccessRecorder]>([])
    /// The one that listens now; 0 for none, which is what nearly every read finds.
    private let listener = Atomic<UInt>(0)

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
        guard isSnapshot else { return (layers[0].serving, ordinal) }
        let node = view.node(ordinal)
        return (layers[Int(node.layerSlot)].serving, node.layerOrdinal)
    }

    /// Where a canonical node's content is, as `AccessRecorder` counts layers.
    @inline(__always)
    private func slot(_ ordinal: Ordinal) -> Int { isSnapshot ? Int(view.node(ordinal).layerSlot) : 0 }

    /// Bytes that count as read of a file that the kernel reads itself.
    private static let passedThrough = 1 << 20

    /// From now on `recorder` is told of every read; nil ends that.
    func record(with recorder: AccessRecorder?) {
        recorders.withLock { recorders in
            if let recorder { recorders.append(recorder) }
            listener.store(recorder.map { UInt(bitPattern: Unmanaged.passUnretained($0).toOpaque()) } ?? 0, ordering: .releasing)
        }
    }

    @inline(__always)
    private func note(_ ordinal: Ordinal, at offset: UInt64, count: Int) {
        let bits = listener.load(ordering: .acquiring)
        guard bits != 0, let raw = UnsafeRawPointer(bitPattern: bits) else { return }
        Unmanaged<AccessRecorder>.fromOpaque(raw).takeUnretainedValue().note(slot(ordinal), location(ordinal).ordinal, at: offset, count: count)
    }

    /// All content of all layers is in the store.
    public var isComplete: Bool { layers.allSatisfy(\.serving.isComplete) }

    public func read(_ ordinal: Ordinal, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Int? {
        note(ordinal, at: offset, count: buffer.count)
        let (layer, ordinal) = location(ordinal)
        return try layer.read(ordinal, at: offset, into: buffer)
    }

    public func fetch(_ ordinal: Ordinal, at offset: UInt64, count: Int) async throws {
        let (layer, ordinal) = location(ordinal)
        do {
            try await layer.fetch(ordinal, at: offset, count: count)
        } catch ImageError.brokenPromise(let descriptor, let reason) where layer.isAdopted {
            // The layer and an index from outside contradict each other: the layer decides.
            let heir = try await layer.succession.settle(layer, because: ImageError.brokenPromise(descriptor, reason))
            try await heir.fetch(ordinal, at: offset, count: count)
        }
    }

    public func openObject(_ ordinal: Ordinal) throws -> OwnedDescriptor? {
        let (layer, place) = location(ordinal)
        guard let object = try layer.openObject(place) else { return nil }
        // The kernel reads it alone from now on, and nobody will know which part: the front of it is sure.
        note(ordinal, at: 0, count: Self.passedThrough)
        return object
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
