import LinuxIO

extension CacheLibrary {
    /// Acquires leases on all of `requests`, in the order of the caches' names, so that two who ask for the same caches in
    /// another order do not wait for each other. Several requests for one cache are one lease: the stronger.
    ///
    /// Who comes first is served first. Waiting costs a blocked thread and no CPU.
    ///
    /// - Parameters:
    ///   - timeout: for all of it; nil waits for ever. `.zero` never waits.
    ///   - onWait: told whenever a wait begins; called on the thread that waits.
    /// - Throws: `cancelled` at once when the task is cancelled, `timedOut`, `missing`, `damaged`, `store`, `system`; what had been
    ///   acquired is released.
    public func acquire(
        _ requests: [LeaseRequest], timeout: Duration? = nil, onWait: @escaping @Sendable (LeaseWait) -> Void = { _ in }
    ) async throws(CacheError) -> LeaseSet {
        let waiter = LockWaiter(limit: timeout)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Result<LeaseSet, CacheError>, Never>) in
                let started = Result { () throws(SystemError) in
                    try DedicatedThread.start("larder-lease") { [self] in
                        continuation.resume(returning: Result { () throws(CacheError) in try acquire(requests, waiter, timeout, onWait) })
                    }
                }
                if case .failure(let error) = started { continuation.resume(returning: .failure(.system(error))) }
            }
        } onCancel: {
            waiter.cancel()
        }
        let leases = try result.get()
        // Cancelled when all was had already: the caller may not look at the result any more.
        guard Task.isCancelled else { return leases }
        try leases.release()
        throw .cancelled
    }

    /// As `acquire`, on the calling thread, which must be one that may block.
    public func acquireBlocking(
        _ requests: [LeaseRequest], timeout: Duration? = nil, onWait: @escaping (LeaseWait) -> Void = { _ in }
    ) throws(CacheError) -> LeaseSet {
        try acquire(requests, LockWaiter(limit: timeout), timeout, onWait)
    }

    /// A lease on one cache's main instance if that is free at once, else nil. Never jumps a queue.
    func acquireAtOnce(_ claim: Claim, _ place: CachePlace) throws(CacheError) -> Lease? {
        do throws(CacheError) {
            return try Acquisition(self, LockWaiter(limit: .zero), .zero, onWait: { _ in }).lease(claim, place)
        } catch {
            if case .timedOut = error { return nil }
            throw error
        }
    }

    func acquire(
        _ requests: [LeaseRequest], _ waiter: LockWaiter, _ timeout: Duration?, _ onWait: @escaping (LeaseWait) -> Void
    ) throws(CacheError) -> LeaseSet {
        var claims: [CacheName: Claim] = [:]
        for request in requests {
            let claim = Claim(request, default: try definition(of: request.cache).settings.sharing)
            claims[request.cache] = claims[request.cache].map { $0.joined(with: claim) } ?? claim
        }
        var leases: [Lease] = []
        do throws(CacheError) {
            try waiter.onThisThread { () throws(CacheError) in
                for name in claims.keys.sorted() {
                    guard let claim = claims[name] else { continue }
                    leases.append(try Acquisition(self, waiter, timeout, onWait: onWait).lease(claim, name))
                }
            }
        } catch {
            // Nobody has used them yet: there is nothing unclean about them.
            try? LeaseSet(leases: leases).release()
            throw error
        }
        return LeaseSet(leases: leases)
    }
}
