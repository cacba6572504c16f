import Synchronization
import TreeIndex

/// Which tree serves in place of one whose index has turned out to be wrong, or is no longer needed. Asked at every read.
final class Succession: Sendable {
    typealias Settlement = @Sendable (LayerTree, any Error) async throws -> LayerTree

    private let heir = Mutex<LayerTree?>(nil)
    /// The same object as in `heir`, for readers that take no lock; 0 for none.
    private let pointer = Atomic<UInt>(0)
    private let settlement = Mutex<Settlement?>(nil)
    private let settled = Atomic(false)

    /// The layer itself has decided, be it that nothing can serve in the old tree's place.
    var isSettled: Bool { settled.load(ordering: .relaxed) }
    func markSettled() { settled.store(true, ordering: .relaxed) }

    /// How a contradiction between the layer and its index is settled.
    func arrange(_ settle: @escaping Settlement) { settlement.withLock { $0 = settle } }

    func settle(_ tree: LayerTree, because error: any Error) async throws -> LayerTree {
        guard let settle = settlement.withLock({ $0 }) else { throw error }
        return try await settle(tree, error)
    }

    /// Valid for as long as this object: it holds the first heir and never lets go.
    @inline(__always)
    var current: LayerTree? {
        let bits = pointer.load(ordering: .acquiring)
        guard bits != 0, let raw = UnsafeRawPointer(bitPattern: bits) else { return nil }
        return Unmanaged<LayerTree>.fromOpaque(raw).takeUnretainedValue()
    }

    func pass(to tree: LayerTree) {
        heir.withLock { heir in
            guard heir == nil else { return }
            heir = tree
            pointer.store(UInt(bitPattern: Unmanaged.passUnretained(tree).toOpaque()), ordering: .releasing)
        }
    }
}

extension LayerTree {
    /// This tree, or the one that serves in its place: the same nodes under the same ordinals.
    @inline(__always)
    var serving: LayerTree { succession.current ?? self }
}

extension TreeIndex {
    /// Whether every ordinal means the same in both: the same name in the same directory, of the same kind and size.
    static func haveSameOrdinals(_ a: TreeIndex, _ b: TreeIndex) -> Bool {
        let (left, right) = (a.view, b.view)
        return withExtendedLifetime((a, b)) {
            guard left.nodeCount == right.nodeCount else { return false }
            return (0..<Ordinal(left.nodeCount)).allSatisfy { ordinal in
                let (x, y) = (left.node(ordinal), right.node(ordinal))
                return x.kind == y.kind && x.size == y.size && x.parent == y.parent && x.isDead == y.isDead && left.name(of: x).elementsEqual(right.name(of: y))
            }
        }
    }
}
