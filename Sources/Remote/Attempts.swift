import Logging

/// One piece of work on its way through the mirrors to the host itself, with retries at each.
struct Attempts: Sendable {
    let subject: String
    private let hosts: [RegistryHost]
    private let configuration: RemoteConfiguration
    private let counters: RemoteCounters
    private let logger: Logger
    private var place = 0
    private var budget: RetryBudget

    /// - Parameter hosts: mirrors first, the host itself last; not empty.
    init(_ subject: String, hosts: [RegistryHost], configuration: RemoteConfiguration, counters: RemoteCounters, logger: Logger) {
        self.subject = subject
        self.hosts = hosts
        self.configuration = configuration
        self.counters = counters
        self.logger = logger
        place = Self.usable(from: 0, hosts)
        budget = Self.budget(isMirror: place < hosts.count - 1, configuration)
    }

    /// Who is asked now.
    var host: RegistryHost { hosts[place] }

    mutating func advance(by bytes: UInt64) { budget.advance(by: bytes) }

    /// Returns when the next attempt is due, be it at the next host.
    /// - Throws: where there is none.
    mutating func recover(from fault: Fault) async throws(RemoteError) {
        if fault.kind == .cancelled || Task.isCancelled { throw Fault.cancelled.error(about: subject) }
        if let pause = budget.pause(after: fault) {
            if fault.remedy != .dropRange { counters.retries.wrappingAdd(1, ordering: .relaxed) }
            logger.debug("trying again", metadata: ["what": "\(subject)", "reason": "\(fault.reason)", "pause": "\(pause)"])
            do { try await Task.sleep(for: pause) } catch { throw Fault.cancelled.error(about: subject) }
            return
        }
        if fault.isHostDown { host.markDown() }
        guard place < hosts.count - 1 else {
            throw failure(fault)
        }
        // A mirror need not have everything; anything else is a reason to leave it alone for a while.
        if fault.kind != .notFound, host.passOver() {
            logger.warning("mirror passed over for \(configuration.mirrorPause)", metadata: ["mirror": "\(host.base.origin)", "reason": "\(fault.reason)"])
        }
        place = Self.usable(from: place + 1, hosts)
        budget = Self.budget(isMirror: place < hosts.count - 1, configuration)
    }

    /// The error that ends it all.
    func failure(_ fault: Fault) -> RemoteError {
        let error = fault.error(about: subject)
        counters.count(error)
        return error
    }

    private static func usable(from first: Int, _ hosts: [RegistryHost]) -> Int {
        var place = first
        while place < hosts.count - 1 && hosts[place].isPassedOver { place += 1 }
        return place
    }

    /// A mirror gets one more chance only: behind it is the host itself.
    private static func budget(isMirror: Bool, _ configuration: RemoteConfiguration) -> RetryBudget {
        RetryBudget(attempts: isMirror ? min(1, configuration.retries) : configuration.retries, limit: configuration.requestDeadline, firstPause: configuration.firstPause)
    }
}
