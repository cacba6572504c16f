import Glibc
import Images
import OCI
import Synchronization

/// Shows a pull: bars that redraw in place on a terminal, one plain line for each event elsewhere.
final class ProgressBars: Sendable {
    private struct State {
        var order: [Digest] = []
        var lines: [Digest: PullEvent] = [:]
        var drawn = 0
        var lastDraw = ContinuousClock.now
    }

    private let state = Mutex(State())
    private let interactive: Bool

    init(interactive: Bool) { self.interactive = interactive }

    func show(_ event: PullEvent) {
        if interactive { draw(event) } else { print(event) }
    }

    private func print(_ event: PullEvent) {
        switch event.phase {
        case .present: Terminal.error("\(event.layer.short): already here")
        case .started: Terminal.error("\(event.layer.short): fetching \(event.total.bytesText)")
        case .downloading, .unpacking: break
        case .done: Terminal.error("\(event.layer.short): done")
        }
    }

    private func draw(_ event: PullEvent) {
        state.withLock { state in
            if state.lines.updateValue(event, forKey: event.layer) == nil { state.order.append(event.layer) }
            let now = ContinuousClock.now
            guard event.phase != .downloading || now - state.lastDraw > .milliseconds(80) else { return }
            state.lastDraw = now
            var text = state.drawn > 0 ? "\u{1B}[\(state.drawn)A" : ""
            for layer in state.order { text += "\r\u{1B}[K" + line(state.lines[layer] ?? event) + "\n" }
            state.drawn = state.order.count
            Terminal.write(text, to: STDERR_FILENO)
        }
    }

    private func line(_ event: PullEvent) -> String {
        let label = event.layer.short
        switch event.phase {
        case .present: return "\(label)  already here"
        case .done: return "\(label)  done  \(event.total.bytesText)"
        case .unpacking: return "\(label)  unpacking"
        case .started, .downloading:
            let width = max(10, min(40, Terminal.columns - 50))
            let share = event.total > 0 ? min(1, Double(event.received) / Double(event.total)) : 1
            let filled = Int(share * Double(width))
            let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: width - filled)
            return "\(label)  [\(bar)] \(event.received.bytesText) / \(event.total.bytesText)"
        }
    }
}

extension Digest {
    /// The first twelve hex digits, as people quote them.
    var short: String { String(hex.prefix(12)) }
}
