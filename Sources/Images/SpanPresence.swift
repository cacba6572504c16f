import OCI
import Store
import TreeIndex

/// Which spans of a layer are in the store: one bit each. Only an account, for `du` and for cache lifetimes; reading always
/// asks the store itself.
struct SpanPresence: Sendable {
    private var words: [UInt64]
    private(set) var missing: Int

    init(of layer: LayerTree.Parts, in store: Store) throws {
        let view = layer.view
        words = Array(repeating: 0, count: (view.spanCount + 63) / 64)
        missing = view.spanCount
        for number in try store.presentSpans(layer.contentKey) where Int(number) < view.spanCount { _ = insert(Int(number)) }
        // A large file that is one object is there although its spans are gone.
        for ordinal in layer.largeFiles {
            guard let digest = view.node(ordinal).objectNumber.flatMap({ view.object($0).digest }), store.hasObject(digest) else { continue }
            for span in layer.exclusiveSpans(of: ordinal) { _ = insert(span) }
        }
        // Nobody reads what a later member of the archive replaced, but it is part of the layer's proof.
        for number in 0..<view.spanCount where layer.isProven && view.span(number).flags.contains(.exclusive) && layer.largeFile(at: number) == nil { _ = insert(number) }
        for object in layer.loneObjects where !store.hasObject(object.digest) { missing += 1 }
    }

    subscript(_ number: Int) -> Bool { words[number / 64] & 1 << UInt64(number % 64) != 0 }

    /// Returns whether the bit was not set before.
    mutating func insert(_ number: Int) -> Bool {
        guard !self[number] else { return false }
        words[number / 64] |= 1 << UInt64(number % 64)
        missing -= 1
        return true
    }

    /// Returns whether the bit was set before.
    mutating func remove(_ number: Int) -> Bool {
        guard self[number] else { return false }
        words[number / 64] &= ~(1 << UInt64(number % 64))
        missing += 1
        return true
    }
}
