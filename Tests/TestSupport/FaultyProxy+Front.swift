import NIOHTTP1
import Synchronization

extension FaultyProxy {
    /// What a big registry has in front of its blobs: tokens that end, and storage behind links that end. Both are good for
    /// so many uses, so that no clock decides a test. A token is for more than are made at a time, or what is new would have ended
    /// before whoever asked for it could use it; a link is besides good for the request that it was the answer to.
    public final class Front: Sendable {
        /// What clients ran into.
        public struct Record: Sendable {
            public var expiredTokens = 0
            public var expiredLinks = 0
            /// Requests that showed the storage host what was meant for the registry.
            public var leaks = 0

            public init() {}
        }

        private struct State {
            var tokens: [Int] = []
            var links: [Link] = []
            var storage: String?
            var record = Record()
        }

        private struct Link {
            /// Of the request that was answered with it.
            let range: String?
            var left: Int
            var isNew = true

            mutating func admits(_ asked: String?) -> Bool {
                if isNew, asked == range {
                    isNew = false
                    return true
                }
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        }

        private let tokenUses: Int?
        private let linkUses: Int?
        /// The storage is another origin than the registry.
        public let isElsewhere: Bool
        private let state = Mutex(State())

        public var record: Record { state.withLock { $0.record } }

        /// - Parameters:
        ///   - tokenUses: requests that a token is good for; nil where none is asked for.
        ///   - linkUses: further requests that a signed link is good for; nil where blobs come from the registry itself.
        ///   - isElsewhere: signed links lead to a host of their own, as they do in clouds; else to the registry's.
        public init(tokenUses: Int? = nil, linkUses: Int? = nil, isElsewhere: Bool = false) {
            self.tokenUses = tokenUses
            self.linkUses = linkUses
            self.isElsewhere = isElsewhere
        }

        /// Says where the storage is, as `HOST:PORT`.
        func put(storage host: String) { state.withLock { $0.storage = host } }

        /// An answer of its own, or the request as the registry is to see it.
        func pass(_ request: HTTPTestServer.Request) -> (answer: HTTPTestServer.Response?, request: HTTPTestServer.Request) {
            let host = request.headers.first(name: "Host") ?? ""
            let storage = state.withLock { $0.storage } ?? host
            if request.path.hasPrefix("/signed/") { return (refusal(of: request, isElsewhere ? storage : nil, host), request.behindLink) }
            if request.path == "/token" {
                let number = state.withLock { state in
                    state.tokens.append(tokenUses ?? 1)
                    return state.tokens.count - 1
                }
                return (.init(200, text: #"{"token":"t\#(number)","expires_in":300}"#), request)
            }
            if isElsewhere, host == storage { return (.init(404), request) }
            if tokenUses != nil, !admits(request.headers.first(name: "Authorization")) {
                let challenge = "Bearer realm=\"http://\(host)/token\",service=\"test\",scope=\"repository:any:pull\""
                return (.init(401, headers: ["WWW-Authenticate": challenge]), request)
            }
            if let linkUses, request.method == "GET", request.path.contains("/blobs/sha256:") {
                let number = state.withLock { state in
                    state.links.append(Link(range: request.headers.first(name: "Range"), left: linkUses))
                    return state.links.count - 1
                }
                return (.init(307, headers: ["Location": "http://\(storage)/signed/\(number)\(request.path.dropFirst(3))"]), request)
            }
            return (nil, request.rewritten(request.target))
        }

        private func admits(_ authorization: String?) -> Bool {
            let number = authorization.flatMap { $0.hasPrefix("Bearer t") ? Int($0.dropFirst(8)) : nil }
            return state.withLock { state in
                guard let number, state.tokens.indices.contains(number) else { return false }
                guard state.tokens[number] > 0 else {
                    state.record.expiredTokens += 1
                    return false
                }
                state.tokens[number] -= 1
                return true
            }
        }

        /// Why the storage does not answer: the link itself is the right, and like S3 it takes no other beside.
        private func refusal(of request: HTTPTestServer.Request, _ storage: String?, _ host: String) -> HTTPTestServer.Response? {
            let number = request.path.split(separator: "/").dropFirst().first.flatMap { Int($0) }
            return state.withLock { state in
                if let storage {
                    guard host == storage else { return .init(404) }
                    guard request.headers["Authorization"].isEmpty else {
                        state.record.leaks += 1
                        return .init(400, text: "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>")
                    }
                }
                guard let number, state.links.indices.contains(number), state.links[number].admits(request.headers.first(name: "Range")) else {
                    state.record.expiredLinks += 1
                    return .init(403, text: "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
                }
                return nil
            }
        }
    }
}

extension HTTPTestServer.Request {
    /// What a signed link leads to.
    fileprivate var behindLink: HTTPTestServer.Request {
        let parts = path.split(separator: "/", maxSplits: 2)
        return rewritten("/v2/" + (parts.count == 3 ? parts[2] : ""))
    }

    fileprivate func rewritten(_ target: String) -> HTTPTestServer.Request {
        var headers = headers
        headers.remove(name: "Authorization")
        return HTTPTestServer.Request(method: method, target: target, headers: headers, body: body, number: number)
    }
}
