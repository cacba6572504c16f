import LinuxIO
import Logging
import OCI
import Synchronization

/// Brings the rest of layers that somebody has read from, while nobody waits for content, and seals what is complete:
/// from then on the image needs no registry.
///
/// One request at a time, and that one is given up as soon as a reader has to wait. Work on the host that waits for no content
/// needs its processors all the same, and no priority reaches all that a fill makes the kernel and a registry do: it pauses
/// in proportion to how busy they are. A layer is filled once: what is evicted later was worth less than what took its place.
final class BackgroundFill: Sendable {
    /// A failing host is left alone for so long.
    private static let failurePause = Duration.seconds(60)

    /// However busy the host is, a fill takes this part of the time, or it would never end.
    private static let leastShare = 0.02
    /// A slow link takes long over a request, and little of the processors.
    private static let longestPause = Duration.seconds(5)

    private let supply: Supply
    /// For how long nobody must have waited for content.
    private let quietTime: Duration
    private let seal: @Sendable (LayerTree) async throws -> Void

    init(_ supply: Supply, quietTime: Duration, seal: @escaping @Sendable (LayerTree) async throws -> Void) {
        self.supply = supply
        self.quietTime = quietTime
        self.seal = seal
    }

    /// Runs until it is cancelled.
    func run() async {
        do {
            while true {
                let seen = supply.activity.uses.count
                if let tree = supply.activity.nextUsed() { try await complete(tree) } else { _ = try await supply.activity.uses.next(after: seen) }
            }
        } catch {
            // Cancelled: nothing else gets here.
        }
    }

    /// - Throws: `CancellationError`.
    private func complete(_ tree: LayerTree) async throws {
        guard tree.servesSpans else { return }
        let todo = SpanTodo(tree)
        let evictions = supply.store.evictions.runs
        var seen = try? ProcessorTime.now()
        do {
            while true {
                try await quiet()
                // What had to go for this was not worth less than a bet on what will be read.
                guard supply.fresh.isStoring, supply.store.hasRoom(for: 16 << 20), supply.store.evictions.runs == evictions else { return }
                guard let numbers = todo.next(after: 0, tree.fetcher.plan(.fill)) else { break }
                let start = ContinuousClock.now
                if try await !bring(numbers, of: tree) { todo.putBack(numbers) }
                let now = try? ProcessorTime.now()
                if let seen, let now { try await Task.sleep(for: Self.pause(after: .now - start, idleShare: now.idleShare(since: seen))) }
                seen = now
            }
            await supply.fresh.settle()
            guard try await supply.workers.runIfActive({ try tree.isCompleteNow() }) else { return }
            try await seal(tree)
        } catch {
            try Task.checkCancellation()
            supply.logger.notice("the layer stays incomplete for now", metadata: ["layer": "\(tree.layer.descriptor.digest)", "reason": "\(error)"])
            try await Task.sleep(for: Self.failurePause)
        }
    }

    /// False where a reader came in between.
    private func bring(_ numbers: [Int], of tree: LayerTree) async throws -> Bool {
        let request = Task { try await tree.fetcher.bring(numbers, for: .fill) }
        let ticket = supply.ledger.onDemand { request.cancel() }
        defer { supply.ledger.forget(ticket) }
        do {
            try await withTaskCancellationHandler { try await request.value } onCancel: { request.cancel() }
            return true
        } catch {
            try Task.checkCancellation()
            guard request.isCancelled else { throw error }
            return false
        }
    }

    /// How long to leave the host alone after a request that took `worked`, where its processors have had nothing to do for
    /// `idleShare` of the time. The fill takes the square of that: what is idle now and then is not idle when it comes.
    static func pause(after worked: Duration, idleShare: Double) -> Duration {
        min(worked * (1 / max(idleShare * idleShare, leastShare) - 1), longestPause)
    }

    private func quiet() async throws {
        while true {
            guard let quiet = supply.ledger.quietTime, quiet >= quietTime else {
                let left = supply.ledger.quietTime.map { quietTime - $0 } ?? quietTime
                try await Task.sleep(for: max(left, .milliseconds(10)))
                continue
            }
            return
        }
    }
}
