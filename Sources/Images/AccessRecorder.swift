import Synchronization
import TreeIndex

/// Which content of an image's layers was read, in the order in which it was first touched.
///
/// Content is counted in units: blocks of the content space, cut where spans end, so that a read near a span's edge does not
/// speak for its neighbour. A read whose units are all known takes no lock.
public final class AccessRecorder: Sendable {
    /// Bytes of a block.
    static let blockSize: UInt64 = 64 << 10
    /// The most stretches that are told apart; what comes later is left out.
    static let touchLimit = 1 << 18
    /// The most units of one layer: 4 TiB of content. What lies behind is left out.
    private static let unitLimit: UInt64 = 1 << 26

    /// A stretch of one layer's content space.
    struct Touch: Sendable, Equatable {
        /// The layer's position in the image, lowest first.
        var slot: Int
        var content: Range<UInt64>
    }

    private struct LayerTouches: Sendable {
        let view: TreeView
        let units: TouchedNumbers
        let files: TouchedNumbers
    }

    private struct State {
        var touches: [Touch] = []
        var files = 0
        var lastTouch = ContinuousClock.now
    }

    private let layers: [LayerTouches]
    private let state = Mutex(State())
    let started = ContinuousClock.now

    init(_ layers: [LayerTree]) {
        self.layers = layers.map { layer in
            let blocks = min(layer.view.contentSize / Self.blockSize + 1, Self.unitLimit)
            return LayerTouches(
                view: layer.view, units: TouchedNumbers(below: Int(blocks) + layer.view.spanCount), files: TouchedNumbers(below: layer.view.nodeCount))
        }
    }

    /// What was touched so far, neighbours joined, and how many files.
    var summary: (touches: [Touch], files: Int) { state.withLock { ($0.touches, $0.files) } }

    /// Since when nothing new was touched; for ever where nothing was at all.
    var quiet: Duration { state.withLock { $0.touches.isEmpty ? .seconds(1_000_000) : .now - $0.lastTouch } }

    /// `count` bytes at `offset` of a canonical file of the layer `slot` are being read.
    func note(_ slot: Int, _ ordinal: Ordinal, at offset: UInt64, count: Int) {
        let layer = layers[slot]
        let node = layer.view.node(ordinal)
        guard node.kind == .regular, offset < node.size, count > 0 else { return }
        if layer.files.insert(Int(ordinal)) { state.withLock { $0.files += 1 } }
        let end = offset + min(UInt64(count), node.size - offset)
        var position = offset
        while position < end, let run = layer.view.content(of: node, at: position), run.length > 0 {
            let length = min(run.length, end - position)
            if let content = run.contentOffset { note(slot, layer, content..<content + length) }
            position += length
        }
    }

    private func note(_ slot: Int, _ layer: LayerTouches, _ range: Range<UInt64>) {
        guard var number = layer.view.spanNumber(at: range.lowerBound) else { return }
        var position = range.lowerBound
        while position < range.upperBound, number < layer.view.spanCount {
            let span = layer.view.span(number)
            let block = position / Self.blockSize
            let end = min((block + 1) * Self.blockSize, span.contentEnd)
            // With each unit the block or the span goes up by one, or both: their sum names it.
            if block < Self.unitLimit, layer.units.insert(Int(block) + number) { append(Touch(slot: slot, content: max(block * Self.blockSize, span.contentStart)..<end)) }
            position = end
            if end == span.contentEnd { number += 1 }
        }
    }

    private func append(_ touch: Touch) {
        state.withLock { state in
            state.lastTouch = .now
            if let last = state.touches.last, last.slot == touch.slot, last.content.upperBound == touch.content.lowerBound {
                state.touches[state.touches.count - 1].content = last.content.lowerBound..<touch.content.upperBound
            } else if state.touches.count < Self.touchLimit {
                state.touches.append(touch)
            }
        }
    }
}
