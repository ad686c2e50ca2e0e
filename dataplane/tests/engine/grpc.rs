//! Servers of the services that the gateway calls, as users would run them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use portcullis_proto::envoy::service::auth::v3 as auth;
use portcullis_proto::envoy::service::ratelimit::v3 as rls;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What a server answers to a question.
type Answer<Q, A> = Box<dyn Fn(&Q) -> Result<A, Status> + Send + Sync>;

/// One service, with the questions that came.
pub struct Server<Q, A> {
    pub address: SocketAddr,
    state: Arc<State<Q, A>>,
}

struct State<Q, A> {
    asked: Mutex<Vec<Q>>,
    answer: Answer<Q, A>,
}

struct Service<Q, A>(Arc<State<Q, A>>);

impl<Q, A> State<Q, A> {
    fn ask(&self, question: Q) -> Result<Response<A>, Status> {
        let answer = (self.answer)(&question);
        self.asked.lock().unwrap().push(question);
        answer.map(Response::new)
    }
}

impl<Q: Clone, A> Server<Q, A> {
    pub fn asked(&self) -> Vec<Q> {
        self.state.asked.lock().unwrap().clone()
    }
}

pub type AuthServer = Server<auth::CheckRequest, auth::CheckResponse>;

#[tonic::async_trait]
impl auth::authorization_server::Authorization for Service<auth::CheckRequest, auth::CheckResponse> {
    async fn check(
        &self,
        request: Request<auth::CheckRequest>,
    ) -> Result<Response<auth::CheckResponse>, Status> {
        self.0.ask(request.into_inner())
    }
}

pub type RateLimitServer = Server<rls::RateLimitRequest, rls::RateLimitResponse>;

#[tonic::async_trait]
impl rls::rate_limit_service_server::RateLimitService
    for Service<rls::RateLimitRequest, rls::RateLimitResponse>
{
    async fn should_rate_limit(
        &self,
        request: Request<rls::RateLimitRequest>,
    ) -> Result<Response<rls::RateLimitResponse>, Status> {
        self.0.ask(request.into_inner())
    }
}

macro_rules! start {
    ($answer:expr, $server:path) => {{
        let state = Arc::new(State { asked: Mutex::default(), answer: Box::new($answer) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = <$server>::new(Service(state.clone()));
        let router = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        Server { address, state }
    }};
}

/// An Authorization service.
pub async fn auth_server(
    answer: impl Fn(&auth::CheckRequest) -> Result<auth::CheckResponse, Status> + Send + Sync + 'static,
) -> AuthServer {
    start!(answer, auth::authorization_server::AuthorizationServer<_>)
}

/// A RateLimitService.
pub async fn rate_limit_server(
    answer: impl Fn(&rls::RateLimitRequest) -> Result<rls::RateLimitResponse, Status> + Send + Sync + 'static,
) -> RateLimitServer {
    start!(answer, rls::rate_limit_service_server::RateLimitServiceServer<_>)
}
