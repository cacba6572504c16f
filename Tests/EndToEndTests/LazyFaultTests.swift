import Glibc
import Testing
import TestSupport

extension EndToEnd {
    /// Random faults of the network on every way that content comes in: right bytes or a clean error, and all of it once the
    /// faults are over, with the same mount. `LARDER_LAZY_FAULTS` says how many.
    @Suite struct LazyFaultTests {
        @Test func randomFaultsEndInRightBytesOrAnError() async throws {
            let generator = SeededGenerator.named("randomFaultsEndInRightBytesOrAnError")
            let wanted = Environment.current["LARDER_LAZY_FAULTS"].flatMap { Int($0) } ?? 100
            let setting = try await SideBySide.blocking {
                let setting = try IndexedRegistry()
                try setting.addAllForms()
                return setting
            }
            let schedule = FaultSchedule(wanted, seed: generator.seed)
            try await withThrowingTaskGroup(of: Void.self) { group in
                // Much of it is waiting: for retries, and for what does not come.
                for _ in 0..<6 {
                    group.addTask {
                        while let assignment = schedule.next() {
                            let round = FaultRound(assignment, schedule)
                            let (outcome, unused) = try await round.run(setting)
                            schedule.end(assignment, outcome, unused: unused)
                        }
                    }
                }
                try await group.waitForAll()
            }
            print(schedule.summary)
            #expect(schedule.failures.isEmpty, "\(schedule.failures.joined(separator: "\n"))")
            try await SideBySide.blocking { setting.registry.stop() }
        }
    }
}

/// How the content of an image is brought while faults happen.
enum FaultyWay: CaseIterable {
    /// No index: the first touch streams the layers; small ones whole, large ones in pieces side by side.
    case stream, pieces
    /// Everything at once by `larder pull`, while somebody reads.
    case pull, pullInPieces
    /// Larder's own index from the registry, and somebody else's in both versions.
    case own, firstSOCI, secondSOCI
    /// By a table of contents.
    case estargz, zstdchunked
    /// Index and access profile from the registry: what was read elsewhere is fetched ahead.
    case profile
    /// One file was read, and nobody waits: the rest comes in the background.
    case fill
    /// The store may keep a third of the image.
    case limitedStream, limitedIndex, limitedTable
    /// The registry sends whoever wants a blob to another host, by links that end.
    case storage

    var reference: String {
        switch self {
        case .stream, .pull, .limitedStream: "bare/small:gzip"
        case .pieces, .pullInPieces: "wide/small:gzip"
        case .own, .fill, .limitedIndex: "own/small:gzip"
        case .profile: "known/small:gzip"
        case .firstSOCI, .storage: "soci-1/small:gzip"
        case .secondSOCI: "soci-2/small:gzip"
        case .estargz, .limitedTable: "bare/small:estargz"
        case .zstdchunked: "bare/small:zstdchunked"
        }
    }

    /// Blobs come whole, or in pieces of some MiB.
    var isWhole: Bool { [.stream, .pieces, .pull, .pullInPieces, .limitedStream].contains(self) }
    var isLimited: Bool { [.limitedStream, .limitedIndex, .limitedTable].contains(self) }
    var pulls: Bool { self == .pull || self == .pullInPieces }

    /// What must have been seen at work, in one round or another: else the faults have met something different.
    var evidence: Set<FaultEvidence> {
        switch self {
        case .stream: [.stream]
        case .pieces: [.stream, .pieces]
        case .pull: [.pull]
        case .pullInPieces: [.pull, .pieces]
        case .own, .estargz, .zstdchunked: [.demand]
        case .firstSOCI: [.demand, .ahead]
        case .secondSOCI: [.demand, .rest]
        case .profile: [.profile]
        case .fill: [.fill]
        case .limitedStream: [.stream, .evicted]
        case .limitedIndex, .limitedTable: [.demand, .evicted]
        case .storage: [.demand, .expiredLink]
        }
    }
}

extension FaultyWay {
    /// What is in front of the registry's blobs.
    enum Front: CaseIterable {
        case nothing, tokens, links, tokensAndLinks
        /// The links lead to another host.
        case elsewhere, tokensAndElsewhere

        /// - Parameter isBusy: many small requests are made, and not few large ones.
        func make(isBusy: Bool, _ random: inout SeededGenerator) -> FaultyProxy.Front? {
            let tokenUses = [.tokens, .tokensAndLinks, .tokensAndElsewhere].contains(self) ? Int.random(in: isBusy ? 9...20 : 6...9, using: &random) : nil
            let linkUses = [.nothing, .tokens].contains(self) ? nil : Int.random(in: 0...2, using: &random)
            guard tokenUses != nil || linkUses != nil else { return nil }
            return FaultyProxy.Front(tokenUses: tokenUses, linkUses: linkUses, isElsewhere: [.elsewhere, .tokensAndElsewhere].contains(self))
        }
    }

    var fronts: [Front] { self == .storage ? [.elsewhere, .tokensAndElsewhere] : Front.allCases }
}

enum FaultEvidence: String, CaseIterable {
    /// Requests of the mount's daemon by their cause, from its `status.json`.
    case demand, stream, ahead, rest, profile, fill
    /// A blob was asked for in pieces.
    case pieces
    /// Layers were asked for before anybody read.
    case pull
    case evicted
    /// A link to another host had ended when it was used, and the registry was asked for a new one.
    case expiredLink
}
