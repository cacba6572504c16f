import NIOCore
import OCI

/// Writing (distribution-spec, Push). Only the registry itself is written to, never a mirror.
extension RegistrySource {
    func push(blob bytes: [UInt8]) async throws(RemoteError) -> Bool {
        let digest = Digest(of: bytes)
        return try await askOrigin("blob \(digest) for \(repository)") { host throws(Fault) in
            // Each answer gives its place at the gate back before the next request: uploads side by side would wait for each other's.
            if try await has(digest, UInt64(bytes.count), host) { return false }
            let target = try await placeToUpload(digest, host)
            let upload = try await host.send(RegistryRequest(
                repository: repository.path, place: "blobs/uploads/", method: .PUT, address: target,
                body: .init(bytes: ByteBuffer(bytes: bytes), mediaType: Self.anyBytes)))
            guard upload.answer.status == 201 || upload.answer.status == 204 else { throw await refusal(of: upload.answer, by: host) }
            try check(upload.answer, digest, host)
            await upload.answer.drain()
            return true
        }
    }

    func push(manifest: ImageManifest) async throws(RemoteError) -> Descriptor {
        let what = "manifest for \(repository)"
        guard let bytes = try? manifest.encoded(), bytes.count <= ManifestDocument.sizeLimit else {
            throw RemoteError(.tooLarge, what, "a manifest has at most \(ManifestDocument.sizeLimit) bytes")
        }
        let descriptor = Descriptor(
            mediaType: MediaType.manifest, digest: Digest(of: bytes), size: UInt64(bytes.count), annotations: manifest.annotations, artifactType: manifest.kind)
        let isListed = try await askOrigin(what) { host throws(Fault) in
            let answer = try await put(bytes, MediaType.manifest, at: "\(descriptor.digest)", replacing: nil, host)
            try check(answer, descriptor.digest, host)
            // The registry says that it has understood whose this is.
            let isListed = answer.headers.first(name: "OCI-Subject") != nil
            if manifest.subject != nil { host.note(listsReferrers: isListed) }
            return isListed
        }
        if let subject = manifest.subject, !isListed {
            try await changeList(of: subject.digest) { list in list.add(descriptor) }
        }
        return descriptor
    }

    func delete(referrer: Digest, of subject: Digest) async throws(RemoteError) {
        let what = "manifest \(repository)@\(referrer)"
        try await changeList(of: subject) { list in list.remove(referrer) }
        try await askOrigin(what) { host throws(Fault) in
            let reply = try await host.send(RegistryRequest(repository: repository.path, place: "manifests/\(referrer)", method: .DELETE))
            switch reply.answer.status {
            case 200, 202, 204, 404, 410: await reply.answer.drain()
            case 400, 405, 501: throw Fault(.denied, "\(host.base.origin) does not let anything be removed (status \(reply.answer.status))")
            default: throw await refusal(of: reply.answer, by: host)
            }
        }
    }
}

extension RegistrySource {
    static let anyBytes = "application/octet-stream"

    /// Asks the registry itself.
    private func askOrigin<Value: Sendable>(_ subject: String, _ attempt: (RegistryHost) async throws(Fault) -> Value) async throws(RemoteError) -> Value {
        try await ask(Attempts(subject, hosts: hosts.suffix(1), configuration: configuration, counters: counters, logger: logger), attempt)
    }

    private func has(_ digest: Digest, _ size: UInt64, _ host: RegistryHost) async throws(Fault) -> Bool {
        let known = try await host.send(RegistryRequest(repository: repository.path, place: "blobs/\(digest)", method: .HEAD))
        await known.answer.drain()
        return known.answer.status == 200 && (known.answer.length == nil || known.answer.length == size)
    }

    private func placeToUpload(_ digest: Digest, _ host: RegistryHost) async throws(Fault) -> Address {
        let start = RegistryRequest(repository: repository.path, place: "blobs/uploads/", method: .POST, body: .init(bytes: ByteBuffer(), mediaType: Self.anyBytes))
        let session = try await host.send(start)
        guard session.answer.status == 202 else { throw await refusal(of: session.answer, by: host) }
        await session.answer.drain()
        guard let target = try host.target(of: session.answer, to: start).adding(query: "digest=\(TokenRequest.encoded("\(digest)"))") else {
            throw Fault(.badAnswer(status: 202), "\(host.base.origin) gives a place for the upload that cannot be used")
        }
        return target
    }

    private func put(_ bytes: [UInt8], _ type: String, at selector: String, replacing tag: String?, _ host: RegistryHost) async throws(Fault) -> HTTPAnswer {
        let reply = try await host.send(RegistryRequest(
            repository: repository.path, place: "manifests/\(selector)", method: .PUT, body: .init(bytes: ByteBuffer(bytes: bytes), mediaType: type, replaces: tag)))
        guard (200...204).contains(reply.answer.status) || reply.answer.status == 412 else { throw await refusal(of: reply.answer, by: host) }
        await reply.answer.drain()
        return reply.answer
    }

    private func check(_ answer: HTTPAnswer, _ digest: Digest, _ host: RegistryHost) throws(Fault) {
        guard let found = answer.headers.first(name: "Docker-Content-Digest").flatMap({ Digest($0) }), found != digest else { return }
        throw Fault(.wrongBytes, "\(host.base.origin) got something else than was sent: it has \(found)", remedy: .backOff)
    }

    private func refusal(of answer: HTTPAnswer, by host: RegistryHost) async -> Fault {
        let who = "\(host.base.origin)"
        let retryAfter = answer.retryAfter
        let code = await answer.errorCode().map { " (\($0))" } ?? ""
        switch answer.status {
        case 404, 410: return Fault(.notFound, "\(who) has no such repository to write to\(code)")
        case 405: return Fault(.denied, "\(who) cannot be written to\(code)")
        case 413: return Fault(.tooLarge, "\(who) does not take so much at once\(code)")
        case 429, 500...: return Fault(status: answer.status, of: who, retryAfter: retryAfter)
        default: return Fault(.badAnswer(status: answer.status), "\(who) refuses it with status \(answer.status)\(code)")
        }
    }
}

// MARK: - The list of referrers of a registry that keeps none itself

extension RegistrySource {
    /// Changes the index tagged `sha256-HEX`, which stands for the referrers API where a registry has none. The protocol
    /// has no lock for it: what was written is read back, and done again where somebody else was faster.
    ///
    /// - Parameter change: false where nothing is to be changed.
    private func changeList(of subject: Digest, _ change: (inout ReferrersList) -> Bool) async throws(RemoteError) {
        let place = ReferrersList.tag(of: subject)
        let what = "the referrers \(repository):\(place)"
        for _ in 0..<4 {
            let isDone = try await askOrigin(what) { host throws(Fault) in
                if host.listsReferrers == true { return true }
                var (list, tag) = try await fetchList(place, host)
                guard change(&list) else { return true }
                guard let bytes = list.encoded, bytes.count <= ManifestDocument.sizeLimit else {
                    throw Fault(.tooLarge, "the list of referrers \(place) of \(host.base.origin) is full; remove some")
                }
                let answer = try await put(bytes, MediaType.index, at: place, replacing: tag, host)
                if answer.status == 412 { return false }
                var written = try await fetchList(place, host).list
                return !change(&written)
            }
            if isDone { return }
        }
        throw RemoteError(.badAnswer(status: nil), what, "others change it all the time; try again")
    }

    private func fetchList(_ place: String, _ host: RegistryHost) async throws(Fault) -> (list: ReferrersList, tag: String?) {
        let reply = try await host.send(RegistryRequest(repository: repository.path, place: "manifests/\(place)", accept: [MediaType.index]))
        guard reply.answer.status == 200 else {
            guard reply.answer.status == 404 else { throw await refusal(of: reply.answer, by: host) }
            await reply.answer.drain()
            return (ReferrersList(), nil)
        }
        guard let bytes = try await reply.answer.bytes(limit: ManifestDocument.sizeLimit), let list = ReferrersList(decoding: bytes) else {
            throw Fault(.wrongBytes, "the tag \(place) of \(host.base.origin) is no list of referrers; it is left alone")
        }
        let tag = reply.answer.headers.first(name: "ETag")
        return (list, tag?.hasPrefix("W/") ?? true ? nil : tag)
    }
}
