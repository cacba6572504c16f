import Logging
import OCI
import Store
import TreeIndex

/// Brings spans of one layer: each once for all who want it, neighbours in one request, and no more of them than memory
/// has room for.
struct SpanFetcher: Sendable {
    let tree: LayerTree

    private var supply: Supply { tree.supply }
    private var flights: SpanFlights { tree.flights }
    private var link: Link { supply.links[tree.layer.repository.host] }
    private var digest: Digest { tree.layer.descriptor.digest }

    /// Returns when all of these spans can be read, or throws why they cannot.
    ///
    /// `.demand` is asked for at once, and begins read-ahead. Everything else goes in the order given, as places at the
    /// host are free, and is left alone (without an error) where it could not be kept.
    func bring(_ numbers: some Sequence<Int>, for cause: FetchCause) async throws {
        let numbers = Array(numbers)
        guard cause != .demand else { return try await demand(numbers) }
        guard tree.servesSpans else {
            if cause == .pull, !numbers.allSatisfy(isHere) { try await tree.restore() }
            return
        }
        if cause == .profile { supply.activity.noteUse(of: tree) }
        try await inOrder(numbers, cause)
    }

    /// A reader has come to a span that is here: time for the next ones?
    @inline(__always)
    func passed(_ number: Int) {
        guard let next = flights.reached(number) else { return }
        bringAhead(Array(next))
    }

    /// Whether a span can be read. Corrects the account of what is here, which another process may have changed.
    private func isHere(_ number: Int) -> Bool {
        if supply.fresh.contains(tree.contentKey, number) { return true }
        let isStored = supply.store.has(.span(tree.contentKey, UInt32(number))) || tree.largeFile(at: number).map { tree.hasObject($0) } ?? false
        if isStored { tree.mark(number) }
        return isStored
    }

    /// The account is good enough for what nobody waits for. It also counts spans that nobody can read.
    private func isMissing(_ number: Int, _ cause: FetchCause) -> Bool { cause == .pull ? !isHere(number) : !tree.hasSpan(number) }

    // MARK: - Demand

    private func demand(_ numbers: [Int]) async throws {
        let absent = numbers.filter { !isHere($0) }
        guard !absent.isEmpty else { return }
        supply.ledger.beginWait(digest)
        flights.state.withLock { $0.waits.begin() }
        defer {
            flights.state.withLock { $0.waits.end() }
            supply.ledger.endWait(digest)
        }
        guard tree.servesSpans else { return try await tree.restore() }
        link.waits.withLock { $0.begin() }
        defer { link.waits.withLock { $0.end() } }
        supply.activity.noteUse(of: tree)
        considerRest()
        let ahead = supply.fresh.isStoring ? flights.missed(absent).filter { !tree.hasSpan($0) } : []
        let companions = companions(ahead, of: absent)
        if companions.count < ahead.count { bringAhead(Array(ahead.dropFirst(companions.count))) }
        try await together(absent, with: companions, .demand)
    }

    /// As many of `ahead` as the request for `absent` can take along.
    private func companions(_ ahead: [Int], of absent: [Int]) -> [Int] {
        let plan = plan(.demand)
        var room = Int64(plan.limit) - absent.reduce(0) { $0 + Int64(plan.cost($1)) }
        return Array(ahead.prefix { number in
            room -= Int64(plan.cost(number))
            return room >= 0
        })
    }

    private func bringAhead(_ numbers: [Int]) {
        guard tree.servesSpans else { return }
        supply.activity.run {
            do {
                try await inOrder(numbers, .ahead)
            } catch {
                // Whoever wants it asks again, and learns what is wrong.
                supply.logger.debug("read-ahead failed", metadata: ["blob": "\(digest)", "reason": "\(error)"])
            }
        }
    }

    // MARK: - What nobody waits for

    private func inOrder(_ numbers: [Int], _ cause: FetchCause) async throws {
        var rest = numbers.filter { isMissing($0, cause) }[...]
        let requests = plan(cause)
        var groups: [[Int]] = []
        while !rest.isEmpty {
            let group = rest.prefix(FetchPlan.groupSize)
            rest = rest.dropFirst(group.count)
            groups += requests.requests(group).map(\.numbers)
        }
        let queue = WorkQueue(groups)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<min(cause.width, groups.count) {
                group.addTask {
                    while let numbers = queue.next() { try await inPlace(numbers, cause) }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Waits for a place at the host, then for the spans.
    private func inPlace(_ numbers: [Int], _ cause: FetchCause) async throws {
        let place = try await link.gate.permits([1], for: cause)
        defer { withExtendedLifetime(place) {} }
        guard cause == .pull || supply.fresh.isStoring else { return }
        let missing = numbers.filter { isMissing($0, cause) }
        guard !missing.isEmpty else { return }
        try await together(missing, with: [], cause)
    }

    func plan(_ cause: FetchCause) -> FetchPlan {
        FetchPlan(view: tree.view, limit: cause.requestLimit, gap: link.estimate.bytesPerRoundTrip / 4)
    }

    // MARK: - Requests

    /// Waits until all of `numbers` are here, in requests of its own or of others.
    private func together(_ numbers: [Int], with companions: [Int], _ cause: FetchCause) async throws {
        while true {
            guard !supply.activity.isClosed else { throw CancellationError() }
            let seats = board(numbers, companions, cause)
            defer { for seat in seats { seat.leave() } }
            do {
                for seat in seats { try await seat.wait() }
                return
            } catch is SpanBatch.GivenUp {
                // Another's request, and he has gone.
                try Task.checkCancellation()
            }
        }
    }

    private func board(_ numbers: [Int], _ companions: [Int], _ cause: FetchCause) -> [SpanBatch.Seat] {
        let plan = plan(cause)
        let (seats, batches) = flights.state.withLock { state in
            var seats: [SpanBatch.Seat] = []
            var wanted: Set<Int> = []
            for number in numbers {
                if let seat = state.underway[number]?.board(number) {
                    seats.append(seat)
                } else if !isHere(number) {
                    wanted.insert(number)
                }
            }
            guard !wanted.isEmpty else { return (seats, [SpanBatch]()) }
            let beside = companions.filter { state.underway[$0] == nil && !tree.hasSpan($0) }
            var batches: [SpanBatch] = []
            for request in plan.requests(wanted.union(beside)) {
                let batch = SpanBatch(request, for: cause, isKept: !wanted.isSuperset(of: request.numbers))
                for number in request.numbers {
                    state.underway[number] = batch
                    if wanted.contains(number), let seat = batch.board(number) { seats.append(seat) }
                }
                batches.append(batch)
            }
            return (seats, batches)
        }
        for batch in batches { start(batch) }
        return seats
    }

    private func start(_ batch: SpanBatch) {
        supply.activity.enter(batch)
        batch.start { batch in
            let outcome: any Error
            do {
                try await supply.transfer(batch, of: tree) { number, result in
                    flights.end(batch, [number])
                    batch.land(number, result)
                }
                outcome = SpanBatch.GivenUp()
            } catch {
                outcome = Task.isCancelled ? SpanBatch.GivenUp() : error
            }
            flights.end(batch, batch.request.numbers)
            batch.landRest(.failure(outcome))
            supply.activity.leave(batch)
        }
    }

    // MARK: - The rest of the layer

    /// Fetches all that is missing, once waiting for single spans has cost as much as that would.
    private func considerRest() {
        guard supply.activity.mayFetchRest, supply.fresh.isStoring else { return }
        let estimate = link.estimate
        let waits = flights.state.withLock { state in state.isFetchingRest ? nil : state.waits }
        // The first one to miss something says little.
        guard let waits, waits.total() > estimate.latency else { return }
        var rest = RestDecision(source: 0, content: 0, latency: estimate.latency, bandwidth: estimate.bandwidth, decoding: supply.activity.decodingRate)
        for number in 0..<tree.view.spanCount where !tree.hasSpan(number) {
            rest.source += tree.view.span(number).sourceLength
            rest.content += tree.view.span(number).length
        }
        let waited = max(waits.total(), link.waits.withLock { $0.total() })
        // What would drive out other content is fetched by need for as long as it takes.
        guard rest.isRight(after: waited), supply.store.hasRoom(for: rest.content) else { return }
        let isFirst = flights.state.withLock { state in
            defer { state.isFetchingRest = true }
            return !state.isFetchingRest
        }
        guard isFirst else { return }
        link.waits.withLock { $0.forget() }
        supply.logger.info("readers have waited long enough: fetching the rest of the layer", metadata: [
            "layer": "\(digest)", "waited": "\(waited)", "missing": "\(rest.source)", "estimate": "\(rest.time)",
        ])
        supply.activity.run { await fetchRest() }
    }

    private func fetchRest() async {
        let todo = SpanTodo(tree)
        supply.ledger.setFetchingRest(true, of: digest)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<FetchCause.rest.width {
                    group.addTask {
                        while true {
                            let place = try await link.gate.permits([1], for: .rest)
                            defer { withExtendedLifetime(place) {} }
                            guard supply.fresh.isStoring, let numbers = todo.next(after: flights.state.withLock { $0.lastWanted }, plan(.rest)) else { return }
                            try await together(numbers, with: [], .rest)
                        }
                    }
                }
                try await group.waitForAll()
            }
        } catch {
            if !Task.isCancelled { supply.logger.warning("the rest of the layer is left to be fetched by need", metadata: ["layer": "\(digest)", "reason": "\(error)"]) }
        }
        supply.ledger.setFetchingRest(false, of: digest)
        flights.state.withLock { state in
            state.isFetchingRest = false
            state.waits.forget()
        }
    }
}

extension LayerTree {
    /// Brings spans that are not here.
    var fetcher: SpanFetcher { SpanFetcher(tree: self) }
}
