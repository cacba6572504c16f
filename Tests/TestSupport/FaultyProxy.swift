import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Stands before a registry and passes everything on, except that it does to chosen answers what bad networks do.
public final class FaultyProxy: Sendable {
    public enum Fault: Sendable, Hashable, CaseIterable {
        /// Ends the connection in mid-body.
        case truncates
        case resets
        case stalls
        /// Closes without any answer.
        case hangsUp
        /// Changes a byte in the middle.
        case flipsByte
        case answers400
        case answers401
        case answers403
        case answers404
        case answers416
        case answers429
        case answers500
        case answers503
        /// 200 and the whole, whatever was asked for.
        case ignoresRange
        /// A part other than the one asked for.
        case wrongContentRange
        /// The right part, of a blob of another size.
        case wrongTotal
        /// 206 with no `Content-Range`.
        case noContentRange
        /// More bytes than were asked for.
        case overlong
        /// A redirect to itself.
        case redirectsForEver
        /// Something that is not HTTP's idea of a body: another encoding.
        case encodes
        /// A page of the hotel, with 200.
        case answersPage
    }

    public let server: HTTPTestServer
    /// Where signed links lead, if that is another origin.
    private let storage: HTTPTestServer?
    private let plan: Plan

    public var host: String { server.host }
    public var url: String { server.url }
    /// What was asked for, of the storage after what was asked for of the registry.
    public var requests: [HTTPTestServer.Request] { server.requests + (storage?.requests ?? []) }

    private final class Plan: Sendable {
        let choose: Mutex<@Sendable (HTTPTestServer.Request) -> Fault?>
        init(_ choose: @escaping @Sendable (HTTPTestServer.Request) -> Fault?) { self.choose = Mutex(choose) }
    }

    /// - Parameters:
    ///   - upstream: `HOST:PORT` of the real server, plain HTTP.
    ///   - front: stands between the faults and the server.
    public static func start(before upstream: String, front: Front? = nil) async throws -> FaultyProxy {
        let plan = Plan { _ in nil }
        let respond: @Sendable (HTTPTestServer.Request) async throws -> HTTPTestServer.Response = { request in
            let fault = plan.choose.withLock { $0 }(request)
            return try await Self.answer(request, upstream: upstream, fault: fault, front: front)
        }
        let storage = front?.isElsewhere == true ? try await HTTPTestServer.start(respond) : nil
        if let storage { front?.put(storage: storage.host) }
        return FaultyProxy(server: try await HTTPTestServer.start(respond), storage: storage, plan: plan)
    }

    private init(server: HTTPTestServer, storage: HTTPTestServer?, plan: Plan) {
        self.server = server
        self.storage = storage
        self.plan = plan
    }

    /// From now on `choose` says what happens to each answer; nil passes it on as it is.
    public func inject(_ choose: @escaping @Sendable (HTTPTestServer.Request) -> Fault?) { plan.choose.withLock { $0 = choose } }

    /// Does `fault` to the first `count` requests whose path contains `part`.
    public func inject(_ fault: Fault, into part: String, count: Int = .max) {
        let left = Counter(count)
        inject { request in request.path.contains(part) && left.take() ? fault : nil }
    }

    public func heal() { inject { _ in nil } }

    public func stop() async {
        await server.stop()
        await storage?.stop()
    }

    private final class Counter: Sendable {
        private let left: Mutex<Int>
        init(_ count: Int) { left = Mutex(count) }
        func take() -> Bool {
            left.withLock { left in
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        }
    }
}

extension FaultyProxy {
    /// What the real server answers, with `fault` done to it.
    public static func answer(_ request: HTTPTestServer.Request, upstream: String, fault: Fault?, front: Front?) async throws -> HTTPTestServer.Response {
        switch fault {
        case .hangsUp?: return ending(.init(200), .closed(after: -1))
        case .answers400?: return .init(400)
        case .answers401?: return .init(401, headers: ["WWW-Authenticate": "Basic realm=\"faulty\""])
        case .answers403?: return .init(403)
        case .answers404?: return .init(404, text: #"{"errors":[{"code":"BLOB_UNKNOWN","message":"no"}]}"#)
        case .answers416?: return .init(416)
        case .answers429?: return .init(429, headers: ["Retry-After": "0"])
        case .answers500?: return .init(500, text: "oops")
        case .answers503?: return .init(503)
        case .redirectsForEver?: return .init(307, headers: ["Location": request.target])
        case .answersPage?: return .init(200, headers: ["Content-Type": "text/html"], text: "<html>Please log in to the hotel's network</html>")
        default: break
        }
        let (answered, request) = front?.pass(request) ?? (nil, request)
        var headers = request.headers
        if fault == .ignoresRange { headers.remove(name: "Range") }
        var response = if let answered { answered } else { try await forward(request, headers, to: upstream) }
        let middle = response.body.count / 2
        switch fault {
        case .truncates?: response = ending(response, .closed(after: middle))
        case .resets?: response = ending(response, .reset(after: middle))
        case .stalls?: response = ending(response, .stalled(after: middle))
        case .flipsByte? where !response.body.isEmpty: response.body[middle] ^= 0x20
        case .noContentRange?: response.headers.remove(name: "Content-Range")
        case .encodes?: response.headers.replaceOrAdd(name: "Content-Encoding", value: "gzip")
        case .overlong?:
            response.body += Array("too much".utf8)
            response.length = nil
            response.headers.remove(name: "Content-Length")
        case .wrongContentRange?, .wrongTotal?:
            if let text = response.headers.first(name: "Content-Range") {
                let numbers = text.split { !$0.isNumber }.compactMap { Int($0) }
                if numbers.count == 3 {
                    let shift = fault == .wrongTotal ? 0 : 1
                    response.headers.replaceOrAdd(name: "Content-Range", value: "bytes \(numbers[0] + shift)-\(numbers[1] + shift)/\(numbers[2] + 1)")
                }
            }
        default: break
        }
        return response
    }

    private static func ending(_ response: HTTPTestServer.Response, _ ending: HTTPTestServer.Response.Ending) -> HTTPTestServer.Response {
        var response = response
        response.ending = ending
        return response
    }

    /// Asks the real server and takes the whole answer into memory.
    public static func forward(_ request: HTTPTestServer.Request, _ headers: HTTPHeaders, to upstream: String) async throws -> HTTPTestServer.Response {
        let parts = upstream.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]) else { throw Shell.Failed(description: "upstream '\(upstream)' is not HOST:PORT") }
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(300)).connect(host: String(parts[0]), port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHTTPClientHandlers()
                return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(wrappingChannelSynchronously: channel)
            }
        }
        return try await channel.executeThenClose { inbound, outbound in
            var headers = headers
            headers.replaceOrAdd(name: "Connection", value: "close")
            try await outbound.write(.head(HTTPRequestHead(version: .http1_1, method: .init(rawValue: request.method), uri: request.target, headers: headers)))
            if !request.body.isEmpty { try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: request.body)))) }
            try await outbound.write(.end(nil))
            var response = HTTPTestServer.Response(502)
            for try await part in inbound {
                switch part {
                case .head(let head):
                    response.status = Int(head.status.code)
                    response.headers = head.headers
                    for name in ["Connection", "Transfer-Encoding"] { response.headers.remove(name: name) }
                case .body(let bytes): response.body += bytes.readableBytesView
                case .end:
                    response.length = request.method == "HEAD" ? response.headers.first(name: "Content-Length").flatMap { Int($0) } : response.body.count
                    return response
                }
            }
            throw Shell.Failed(description: "\(upstream) broke off")
        }
    }
}
