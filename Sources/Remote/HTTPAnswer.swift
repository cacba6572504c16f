import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import OCI

/// An HTTP answer whose body is still to come. Letting go of it closes the connection.
///
/// Unchecked: the iterator below is used by one task at a time, which is what `BlobStream` promises its reader.
final class HTTPAnswer: @unchecked Sendable {
    let status: Int
    let headers: HTTPHeaders
    private let origin: Address.Origin
    private let counters: RemoteCounters
    private var body: HTTPClientResponse.Body.AsyncIterator

    init(_ response: HTTPClientResponse, from origin: Address.Origin, counters: RemoteCounters) {
        status = Int(response.status.code)
        headers = response.headers
        self.origin = origin
        self.counters = counters
        body = response.body.makeAsyncIterator()
    }

    /// The next bytes of the body; nil at its end.
    func next() async throws(Fault) -> ByteBuffer? {
        do {
            let part = try await body.next()
            // A cancelled task is told "the end", which it is not.
            if part == nil && Task.isCancelled { throw Fault.cancelled }
            if let part { counters.bytesReceived.wrappingAdd(UInt64(part.readableBytes), ordering: .relaxed) }
            return part
        } catch let fault as Fault {
            throw fault
        } catch {
            throw Fault(transport: error, origin: origin)
        }
    }

    /// The whole body; nil where it is longer than `limit` bytes.
    func bytes(limit: Int) async throws(Fault) -> [UInt8]? {
        if let length, length > UInt64(limit) { return nil }
        var bytes: [UInt8] = []
        while let part = try await next() {
            guard part.readableBytes <= limit - bytes.count else { return nil }
            bytes.append(contentsOf: part.readableBytesView)
        }
        return bytes
    }

    /// Reads a small body to its end, so that the connection can serve the next request.
    func drain() async { _ = try? await bytes(limit: 64 << 10) }

    /// Whether the body is in some coding, which nobody asked for and no digest is over.
    var isEncoded: Bool { headers["Content-Encoding"].contains { !$0.isEmpty && $0.lowercased() != "identity" } }

    /// The error code of a registry's JSON answer (distribution-spec, Error Codes), such as `MANIFEST_UNKNOWN`. Only the
    /// code: the message beside it could repeat what we sent.
    func errorCode() async -> String? {
        guard let bytes = try? await bytes(limit: 64 << 10), let report = try? JSONText.decode(ErrorReport.self, from: bytes) else { return nil }
        return report.errors.first?.code.flatMap { code in
            code.utf8.count <= 40 && code.utf8.allSatisfy { (65...90).contains($0) || $0 == UInt8(ascii: "_") } ? code : nil
        }
    }

    private struct ErrorReport: Decodable {
        struct Entry: Decodable { var code: String? }
        var errors: [Entry]
    }

    /// `Content-Length`; nil where it is missing or no number.
    var length: UInt64? { headers.first(name: "Content-Length").flatMap { UInt64($0) } }

    /// The wait the host asks for.
    var retryAfter: Duration? { headers.first(name: "Retry-After").flatMap { RetryAfter.duration($0) } }
}
