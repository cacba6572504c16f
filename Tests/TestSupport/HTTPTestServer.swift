import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP/1.1 server on a free loopback port that answers as a closure says, and can break off in every way that real
/// servers do. Keeps what it was asked.
public final class HTTPTestServer: Sendable {
    public struct Request: Sendable {
        public let method: String
        /// Path and query.
        public let target: String
        public let headers: HTTPHeaders
        public let body: [UInt8]
        /// Counted from 0.
        public let number: Int

        public var path: String { String(target.prefix { $0 != "?" }) }
        public var query: String { String(target.drop { $0 != "?" }.dropFirst()) }
    }

    public struct Response: Sendable {
        /// What happens after so many bytes of the body.
        public enum Ending: Sendable {
            case whole
            /// Closes in good order.
            case closed(after: Int)
            /// Sends no more, but stays.
            case stalled(after: Int)
            /// Resets the connection.
            case reset(after: Int)
        }

        public var status: Int
        public var headers: HTTPHeaders
        public var body: [UInt8]
        public var ending = Ending.whole
        /// Sent as `Content-Length`; nil for a body in chunks.
        public var length: Int?

        public init(_ status: Int, headers: HTTPHeaders = [:], body: [UInt8] = []) {
            self.status = status
            self.headers = headers
            self.body = body
            length = body.count
        }

        public init(_ status: Int, headers: HTTPHeaders = [:], text: String) { self.init(status, headers: headers, body: Array(text.utf8)) }
    }

    typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    public let port: Int
    /// `http://127.0.0.1:PORT`
    public var url: String { "http://127.0.0.1:\(port)" }
    public var host: String { "127.0.0.1:\(port)" }

    private let log: RequestLog
    private let task: Task<Void, Never>

    private final class RequestLog: Sendable {
        let requests = Mutex<[Request]>([])

        func add(_ head: HTTPRequestHead, _ body: [UInt8]) -> Request {
            requests.withLock { requests in
                let request = Request(method: head.method.rawValue, target: head.uri, headers: head.headers, body: body, number: requests.count)
                requests.append(request)
                return request
            }
        }
    }

    private init(port: Int, log: RequestLog, task: Task<Void, Never>) {
        self.port = port
        self.log = log
        self.task = task
    }

    deinit { task.cancel() }

    public var requests: [Request] { log.requests.withLock { $0 } }

    public static func start(_ respond: @escaping @Sendable (Request) async throws -> Response) async throws -> HTTPTestServer {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        let log = RequestLog()
        let task = Task<Void, Never> {
            _ = try? await withThrowingDiscardingTaskGroup { group in
                try await server.executeThenClose { connections in
                    for try await connection in connections {
                        group.addTask { try? await serve(connection, log, respond) }
                    }
                }
            }
        }
        return HTTPTestServer(port: server.channel.localAddress?.port ?? 0, log: log, task: task)
    }

    public func stop() async {
        task.cancel()
        await task.value
    }

    private static func serve(_ connection: Connection, _ log: RequestLog, _ respond: @Sendable (Request) async throws -> Response) async throws {
        try await connection.executeThenClose { inbound, outbound in
            var parts = inbound.makeAsyncIterator()
            var head: HTTPRequestHead?
            var body: [UInt8] = []
            while let part = try await parts.next() {
                switch part {
                case .head(let found):
                    head = found
                    body = []
                case .body(let bytes):
                    body += bytes.readableBytesView
                case .end:
                    guard let head else { return }
                    let request = log.add(head, body)
                    let response = (try? await respond(request)) ?? Response(502, text: "the test server's closure threw")
                    guard try await send(response, to: outbound, isHead: head.method == .HEAD) else {
                        switch response.ending {
                        case .stalled: while try await parts.next() != nil {}
                        case .reset: try await (connection.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
                        default: break
                        }
                        return
                    }
                }
            }
        }
    }

    /// False where the connection is to end.
    private static func send(_ response: Response, to outbound: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>, isHead: Bool) async throws -> Bool {
        var headers = response.headers
        if let length = response.length { headers.replaceOrAdd(name: "Content-Length", value: String(length)) } else { headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked") }
        let count: Int
        switch response.ending {
        case .whole: count = response.body.count
        case .closed(let limit), .stalled(let limit), .reset(let limit):
            count = min(limit, response.body.count)
            // Not even a head.
            if limit < 0 { return false }
        }
        try await outbound.write(.head(HTTPResponseHead(version: .http1_1, status: .init(statusCode: response.status), headers: headers)))
        if !isHead, count > 0 { try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: response.body[..<count])))) }
        guard case .whole = response.ending else { return false }
        try await outbound.write(.end(nil))
        return true
    }
}
