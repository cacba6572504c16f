import Logging
import OCI

/// One repository of a registry, with its mirrors (distribution-spec, Pull).
struct RegistrySource: BlobSource {
    let repository: Repository
    /// Mirrors first, the registry itself last.
    let hosts: [RegistryHost]
    let configuration: RemoteConfiguration
    let counters: RemoteCounters
    let logger: Logger

    var name: String { repository.description }

    var servesRanges: Bool { (hosts.first { !$0.isPassedOver } ?? hosts[hosts.count - 1]).honoursRanges(repository.path) }

    func resolve(_ selector: Reference.Selector) async throws(RemoteError) -> FetchedManifest {
        let wanted: Digest? = if case .digest(let digest) = selector { digest } else { nil }
        let text = Reference(repository, selector).selectorText
        return try await ask("manifest \(Reference(repository, selector))") { host throws(Fault) in
            try await document(at: host, "manifests/\(text)", digest: wanted, size: nil)
        }
    }

    func manifest(_ descriptor: Descriptor) async throws(RemoteError) -> [UInt8] {
        let subject = "manifest \(repository)@\(descriptor.digest)"
        guard descriptor.size <= ManifestDocument.sizeLimit else {
            throw RemoteError(.tooLarge, subject, "\(descriptor.size) bytes; at most \(ManifestDocument.sizeLimit) are read")
        }
        return try await ask(subject) { host throws(Fault) in
            do throws(Fault) {
                return try await document(at: host, "manifests/\(descriptor.digest)", digest: descriptor.digest, size: descriptor.size).bytes
            } catch {
                // Some registries keep what an index names as plain blobs only.
                guard error.kind == .notFound else { throw error }
                return try await document(at: host, "blobs/\(descriptor.digest)", digest: descriptor.digest, size: descriptor.size).bytes
            }
        }
    }

    func blob(_ descriptor: Descriptor, range: Range<UInt64>?) async throws(RemoteError) -> BlobStream {
        let subject = "blob \(descriptor.digest) of \(repository)"
        let wanted = range ?? 0..<descriptor.size
        guard wanted.upperBound <= descriptor.size else {
            throw RemoteError(.configuration, subject, "bytes up to \(wanted.upperBound) were asked for; it has \(descriptor.size)")
        }
        let reader = BlobReader(descriptor, repository: repository.path, wanted: wanted, attempts: attempts(subject))
        try await reader.open()
        return BlobStream { () async throws(RemoteError) in try await reader.next() }
    }
}

extension RegistrySource {
    private func attempts(_ subject: String) -> Attempts {
        Attempts(subject, hosts: hosts, configuration: configuration, counters: counters, logger: logger)
    }

    func ask<Value: Sendable>(
        _ subject: String, _ attempt: (RegistryHost) async throws(Fault) -> Value
    ) async throws(RemoteError) -> Value {
        try await ask(attempts(subject), attempt)
    }

    func ask<Value: Sendable>(_ attempts: Attempts, _ attempt: (RegistryHost) async throws(Fault) -> Value) async throws(RemoteError) -> Value {
        var attempts = attempts
        while true {
            do throws(Fault) {
                return try await attempt(attempts.host)
            } catch {
                try await attempts.recover(from: error)
            }
        }
    }

    /// Fetches a manifest or index whole, and proves what can be proven of it.
    func document(at host: RegistryHost, _ place: String, digest: Digest?, size: UInt64?) async throws(Fault) -> FetchedManifest {
        let reply = try await host.send(RegistryRequest(repository: repository.path, place: place, accept: MediaType.acceptedManifests))
        let answer = reply.answer
        let who = "\(host.base.origin)"
        switch answer.status {
        case 200:
            break
        case 404, 410:
            let code = await answer.errorCode().map { " (\($0))" } ?? ""
            throw Fault(.notFound, "\(who) does not have it\(code)")
        default:
            throw Fault(status: answer.status, of: who, retryAfter: answer.retryAfter)
        }
        guard !answer.isEncoded else { throw Fault(.badAnswer(status: 200), "\(who) sends it in a coding nobody asked for") }
        let limit = ManifestDocument.sizeLimit
        guard let bytes = try await answer.bytes(limit: limit) else { throw Fault(.tooLarge, "\(who) sends more than \(limit) bytes") }
        if let length = answer.length, length != UInt64(bytes.count) {
            throw Fault(.unreachable, "\(who) ended the answer at byte \(bytes.count) of \(length)", remedy: .backOff)
        }
        let found = Digest(of: bytes)
        if digest == nil, bytes.first(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }) != UInt8(ascii: "{") {
            // A hotel's login page is also a 200.
            throw Fault(.badAnswer(status: 200), "\(who) sends something that is no manifest")
        }
        for (expected, origin) in [(digest, "asked for"), (answer.headers.first(name: "Docker-Content-Digest").flatMap { Digest($0) }, "announced")] {
            guard let expected, expected != found else { continue }
            throw Fault(.wrongBytes, "\(who) sends bytes with the digest \(found) where \(expected) was \(origin)")
        }
        if let size, size != UInt64(bytes.count) { throw Fault(.wrongBytes, "\(who) sends \(bytes.count) bytes, by its descriptor it has \(size)") }
        let type = answer.headers.first(name: "Content-Type").map { String($0.prefix { $0 != ";" }) }
        return FetchedManifest(descriptor: Descriptor(mediaType: type ?? "", digest: found, size: UInt64(bytes.count)), bytes: bytes)
    }
}
