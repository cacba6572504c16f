import Logging
import NIOCore
import OCI

/// Reads a part of one blob from a registry, byte for byte, over as many connections as it takes.
///
/// Unchecked: one task at a time reads, which is what `BlobStream` promises.
final class BlobReader: @unchecked Sendable {
    private let descriptor: Descriptor
    private let repository: String
    private let wanted: Range<UInt64>
    private var attempts: Attempts
    /// Of the next byte to hand out, in the blob.
    private var position: UInt64
    private var body: Body?

    private struct Body {
        let reply: RegistryHost.Reply
        var skip: UInt64
        let endsWithPart: Bool
    }

    init(_ descriptor: Descriptor, repository: String, wanted: Range<UInt64>, attempts: Attempts) {
        self.descriptor = descriptor
        self.repository = repository
        self.wanted = wanted
        self.attempts = attempts
        position = wanted.lowerBound
    }

    /// Gets an answer, so that what is missing or forbidden is known before the first byte is asked for.
    func open() async throws(RemoteError) {
        while body == nil && position < wanted.upperBound {
            do throws(Fault) {
                body = try await connect()
            } catch {
                try await attempts.recover(from: error)
            }
        }
    }

    func next() async throws(RemoteError) -> ByteBuffer? {
        while position < wanted.upperBound {
            try await open()
            do throws(Fault) {
                if let part = try await read() { return part }
            } catch {
                body = nil
                try await attempts.recover(from: error)
            }
        }
        try await finish()
        return nil
    }

    private func connect() async throws(Fault) -> Body {
        let host = attempts.host
        let rest = position..<wanted.upperBound
        let asks = rest != 0..<descriptor.size && host.honoursRanges(repository)
        let request = RegistryRequest(repository: repository, place: "blobs/\(descriptor.digest)", range: asks ? rest : nil, remembersRedirect: true)
        let reply = try await host.send(request)
        let answer = reply.answer
        do throws(Fault) {
            guard !answer.isEncoded else { throw Fault(.badAnswer(status: answer.status), "\(host.base.origin) sends it in a coding nobody asked for") }
            let form = try BlobAnswer.read(
                status: answer.status, contentRanges: answer.headers["Content-Range"], length: answer.length, retryAfter: answer.retryAfter,
                wanted: rest, asked: asks, size: descriptor.size, from: "\(host.base.origin)")
            if form.ignoresRange { host.noteRangeIgnored(repository) }
            return Body(reply: reply, skip: form.skip, endsWithPart: form.endsWithPart)
        } catch {
            if error.remedy == .dropRange { host.noteRangeIgnored(repository) }
            // The next attempt asks the registry itself where the blob is.
            host.forget(request)
            throw error
        }
    }

    /// The next wanted bytes; nil where those that came were all before the part.
    private func read() async throws(Fault) -> ByteBuffer? {
        guard var open = body else { return nil }
        guard var part = try await open.reply.answer.next() else {
            throw Fault(.unreachable, "\(attempts.host.base.origin) ended the answer at byte \(position) of \(wanted.upperBound)", remedy: .backOff)
        }
        let skipped = Int(min(open.skip, UInt64(part.readableBytes)))
        part.moveReaderIndex(forwardBy: skipped)
        open.skip -= UInt64(skipped)
        body = open
        guard part.readableBytes > 0 else { return nil }
        let count = min(UInt64(part.readableBytes), wanted.upperBound - position)
        isOverlong = open.endsWithPart && UInt64(part.readableBytes) > count
        position += count
        attempts.advance(by: count)
        return part.readSlice(length: Int(count))
    }

    private var isOverlong = false

    /// Sees that nothing follows the last byte, which also frees the connection for the next request.
    private func finish() async throws(RemoteError) {
        guard let last = body else { return }
        body = nil
        guard last.endsWithPart else { return }
        while !isOverlong {
            // Every byte is here: what breaks now is no loss.
            guard let more = try? await last.reply.answer.next() else { break }
            isOverlong = more.readableBytes > 0
        }
        if isOverlong {
            isOverlong = false
            throw attempts.failure(Fault(.wrongBytes, "\(attempts.host.base.origin) sends more bytes than it announced"))
        }
    }
}
