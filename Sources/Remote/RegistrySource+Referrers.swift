import OCI

/// Asking who refers to a manifest (distribution-spec, Listing Referrers).
extension RegistrySource {
    /// Pages of one answer that are read.
    private static let pageLimit = 16

    func referrers(of subject: Digest, kinds: Set<String>, retries: Int) async throws(RemoteError) -> [Descriptor] {
        let what = "referrers of \(repository)@\(subject)"
        var configuration = configuration
        configuration.retries = min(retries, configuration.retries)
        do throws(RemoteError) {
            let found = try await ask(Attempts(what, hosts: hosts, configuration: configuration, counters: counters, logger: logger)) { host throws(Fault) in
                try await list(subject, kinds, host)
            }
            return found.filter { $0.artifactType.map { kinds.contains($0) } ?? false && MediaType.isManifest($0.mediaType) }
        } catch {
            if error.kind == .notFound { return [] }
            throw error
        }
    }

    /// - Throws: `.notFound` where the host knows of none, so that the next one is asked: a mirror need not have them.
    private func list(_ subject: Digest, _ kinds: Set<String>, _ host: RegistryHost) async throws(Fault) -> [Descriptor] {
        switch host.listsReferrers {
        case true?:
            return try await fromAPI(subject, kinds, host) ?? []
        case false?:
            return try await fromTag(subject, host)
        case nil:
            // Both at once: to ask one after the other would cost the unlucky a round trip.
            async let tagged = result { () throws(Fault) in try await fromTag(subject, host) }
            let listed = await result { () throws(Fault) in try await fromAPI(subject, kinds, host) }
            if case .success(let list?) = listed {
                host.note(listsReferrers: true)
                return list
            }
            if case .success(nil) = listed { host.note(listsReferrers: false) }
            return try await tagged.get()
        }
    }

    private func result<Value: Sendable>(_ body: () async throws(Fault) -> Value) async -> Result<Value, Fault> {
        do throws(Fault) { return .success(try await body()) } catch { return .failure(error) }
    }

    private func fromTag(_ subject: Digest, _ host: RegistryHost) async throws(Fault) -> [Descriptor] {
        let bytes = try await document(at: host, "manifests/\(ReferrersList.tag(of: subject))", digest: nil, size: nil).bytes
        guard let list = ReferrersList(decoding: bytes) else { throw Fault(.wrongBytes, "\(host.base.origin) has something else under the tag \(ReferrersList.tag(of: subject))") }
        return list.descriptors
    }

    /// nil where the host does not have this API.
    private func fromAPI(_ subject: Digest, _ kinds: Set<String>, _ host: RegistryHost) async throws(Fault) -> [Descriptor]? {
        // The filter takes one kind only, and is only a wish.
        let filter = kinds.count == 1 ? kinds.map { "?artifactType=" + TokenRequest.encoded($0) }.joined() : ""
        var request = RegistryRequest(repository: repository.path, place: "referrers/\(subject)\(filter)", accept: [MediaType.index])
        var found: [Descriptor] = []
        for page in 0..<Self.pageLimit {
            let answer = try await host.send(request).answer
            let type = answer.headers.first(name: "Content-Type").map { String($0.prefix { $0 != ";" }) }
            guard answer.status == 200, type == MediaType.index else {
                if answer.status == 429 || answer.status >= 500 { throw Fault(status: answer.status, of: "\(host.base.origin)", retryAfter: answer.retryAfter) }
                await answer.drain()
                guard page == 0 else { break }
                return nil
            }
            guard let bytes = try await answer.bytes(limit: ManifestDocument.sizeLimit), let list = ReferrersList(decoding: bytes) else {
                throw Fault(.wrongBytes, "\(host.base.origin) sends something that is no list of referrers")
            }
            found += list.descriptors
            guard found.count < ReferrersList.limit, let next = Self.next(answer.headers["Link"]) else { break }
            // Pages come from the registry itself.
            guard let address = host.address(next, after: request), address.origin == host.base.origin else { break }
            request.address = address
        }
        return found
    }

    /// The target of `Link: <...>; rel="next"` (RFC 8288).
    static func next(_ headers: [String]) -> String? {
        for header in headers {
            for link in header.split(separator: ",") {
                let parts = link.split(separator: ";").map { $0.drop { $0 == " " } }
                guard let target = parts.first, target.hasPrefix("<"), target.hasSuffix(">") else { continue }
                if parts.dropFirst().contains(where: { ["rel=\"next\"", "rel=next"].contains($0.lowercased()) }) { return String(target.dropFirst().dropLast()) }
            }
        }
        return nil
    }
}
